//! Child processes that cannot outlive the benchmark, however it ends.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Something that must happen when this process ends: a shell waits for our end of its pipe to close.
#[derive(Debug)]
pub(super) struct Guard(Child);

impl Guard {
    /// Runs `script` with `arguments` as `$0`, `$1`, ... when dropped, or when this process has ended in any way.
    pub(super) fn new(script: &str, arguments: &[&str]) -> Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", &format!("read -r _; {script}")])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Ctrl-C goes to the whole group of the terminal; the guard must outlive it.
            .process_group(0)
            .spawn()
            .context("sh cannot be started")?;
        Ok(Self(shell))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A running program with its own process group and log file. It is killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    guard: Option<Guard>,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it prints goes to the log file unless `command` says otherwise.
    pub(super) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file =
            std::fs::File::create(log).with_context(|| format!("{}: cannot be written", log.display()))?;
        command.stderr(file.try_clone()?).process_group(0);
        Self::spawn(command.stdin(Stdio::null()).stdout(file), log)
    }

    /// Starts it with its standard input and output as pipes.
    pub(super) fn start_piped(mut command: Command, log: &Path) -> Result<Self> {
        let file =
            std::fs::File::create(log).with_context(|| format!("{}: cannot be written", log.display()))?;
        command.stderr(file).process_group(0);
        Self::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()), log)
    }

    fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", command.get_program().display()))?;
        let guard = Guard::new("kill -s KILL -- \"-$0\" 2> /dev/null", &[&child.id().to_string()])?;
        Ok(Self { child, guard: Some(guard), log: log.to_owned() })
    }

    /// Its process id, which is also that of its group.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The running program's pipes.
    pub(super) const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// What it has printed so far.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `found` finds what it looks for in the log.
    pub(super) fn wait_for<T>(&mut self, what: &str, found: impl Fn(&str) -> Option<T>) -> Result<T> {
        let started = Instant::now();
        loop {
            if let Some(value) = found(&self.log()) {
                return Ok(value);
            }
            self.check_alive(what)?;
            if started.elapsed() > Duration::from_mins(1) {
                bail!("{what}: nothing within 60 s; see {}", self.log.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Fails with the log's end when it has ended.
    pub(super) fn check_alive(&mut self, what: &str) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            bail!("{what}: ended with {status}\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        Ok(())
    }

    /// Stops it where it is, so that it costs nothing while another one is measured.
    pub(super) fn rest(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub(super) fn wake(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let group = Pid::from_raw(self.id() as i32).context("a process id is positive")?;
        kill_process_group(group, signal).with_context(|| format!("process group {} has ended", self.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Before the child is waited for: until then its id belongs to nobody else.
        drop(self.guard.take());
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_is_gone_with_its_children_even_when_it_was_stopped() {
        let log = std::env::temp_dir().join(format!("cxr-process-{}", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo child $!; wait"]);
        let mut process = Process::start(command, &log).unwrap();
        let sleeper =
            process.wait_for("sh", |log| log.strip_prefix("child ")?.trim().parse::<u32>().ok()).unwrap();
        process.rest().unwrap();
        assert!(Path::new(&format!("/proc/{sleeper}")).exists());
        drop(process);
        let state = |pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let started = Instant::now();
        while !state(sleeper).is_empty() && !state(sleeper).contains(") Z ") {
            assert!(started.elapsed() < Duration::from_secs(5), "the child lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::fs::remove_file(log).unwrap();
    }
}
