//! Resource use of this process, from Linux.

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Resource use at a moment. Values that cannot be read are zero.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) resident_bytes: u64,
    pub(super) n_threads: u64,
    pub(super) n_files_open: u64,
    pub(super) most_files: u64,
    pub(super) processor_time: Duration,
}

pub(super) fn usage() -> Usage {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Usage {
        resident_bytes: number(&status, "VmRSS:") * 1024,
        n_threads: number(&status, "Threads:"),
        n_files_open: std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
        most_files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        processor_time: Duration::new(time.tv_sec as u64, time.tv_nsec as u32),
    }
}

/// The first number of a line of `/proc/self/status`.
fn number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_grows_with_what_is_used() {
        let before = usage();
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let memory = vec![1_u8; 64 << 20];
        let after = usage();
        assert!(after.n_files_open > 0 && before.n_threads > 0 && after.most_files > 3);
        // Not a difference: other tests of this process free memory meanwhile.
        assert!(after.resident_bytes >= 64 << 20, "{after:?}");
        assert!(after.processor_time > before.processor_time);
        assert!(memory[memory.len() - 1] == 1 && file.metadata().is_ok());
    }
}
