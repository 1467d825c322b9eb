//! Processor time and resident memory of a process and its descendants, from `/proc`.

use anyhow::{Context, Result};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy)]
struct Stat {
    parent: u32,
    ticks: u64,
    resident_pages: u64,
}

/// Processor time in seconds of a process, its living descendants, and their children that have ended.
///
/// When a descendant ends, its time moves to its parent, so differences stay correct.
pub(super) fn cpu_seconds(root: u32) -> Result<f64> {
    let ticks: u64 = family(root)?.iter().map(|stat| stat.ticks).sum();
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Busy processor seconds of the whole host, including time stolen by the hypervisor.
pub(super) fn host_busy_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/stat").context("/proc/stat cannot be read")?;
    let line = text.lines().find_map(|line| line.strip_prefix("cpu ")).context("/proc/stat: no line cpu")?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|n| n.parse().ok()).collect();
    // user, nice, system, (idle, iowait), irq, softirq, steal; user already includes guests.
    let busy = [0, 1, 2, 5, 6, 7].into_iter().filter_map(|field| ticks.get(field)).sum::<u64>();
    Ok(busy as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Resident memory in bytes of a process and its descendants; shared pages count once per process.
pub(super) fn resident_bytes(root: u32) -> Result<u64> {
    let pages: u64 = family(root)?.iter().map(|stat| stat.resident_pages).sum();
    Ok(pages * rustix::param::page_size() as u64)
}

pub(crate) fn peak_resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("{path}: cannot be read"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib = line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("{path}: no VmHWM"))? * 1024)
}

fn family(root: u32) -> Result<Vec<Stat>> {
    let all: BTreeMap<u32, Stat> = std::fs::read_dir("/proc")
        .context("/proc cannot be read")?
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // The process may have ended since the listing.
            Some((pid, parse(&std::fs::read_to_string(entry.path().join("stat")).ok()?)?))
        })
        .collect();
    anyhow::ensure!(all.contains_key(&root), "process {root} has ended");
    let ancestors = |pid: u32| std::iter::successors(Some(pid), |pid| all.get(pid).map(|stat| stat.parent));
    let is_member = |pid: u32| ancestors(pid).any(|ancestor| ancestor == root);
    Ok(all.iter().filter(|(pid, _)| is_member(**pid)).map(|(_, stat)| *stat).collect())
}

/// Fields of proc(5), counted after the name, which may contain spaces and brackets.
fn parse(line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = (11..=14).map(number).sum::<Option<u64>>()?;
    Some(Stat { parent: number(1)? as u32, ticks, resident_pages: number(21)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_a_name_do_not_shift_the_fields() {
        let line = "7 (a) b) S 3 7 7 0 -1 0 1 2 3 4 10 20 30 40 20 0 5 0 99 1000 55 0";
        let stat = parse(line).unwrap();
        assert_eq!((stat.parent, stat.ticks, stat.resident_pages), (3, 100, 55));
    }

    #[test]
    fn work_done_here_and_in_a_child_is_counted() {
        let me = std::process::id();
        let (before, host_before) = (cpu_seconds(me).unwrap(), host_busy_seconds().unwrap());
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]);
        assert!(command.status().unwrap().success());
        assert!(host_busy_seconds().unwrap() > host_before, "the host's time includes it");
        assert!(cpu_seconds(me).unwrap() > before, "a loop of 200,000 rounds takes more than one tick");
        assert!(resident_bytes(me).unwrap() > 1 << 20);
        assert!(peak_resident_bytes(me).unwrap() > 1 << 20);
    }
}
