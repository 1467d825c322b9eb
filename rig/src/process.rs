//! Child processes that end with this process, however it ends.

use crate::guard::Guard;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const N_LAST_LINES: usize = 20;

/// A running program in a process group of its own. The group is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    guard: Option<Guard>,
    log: Option<PathBuf>,
}

impl Process {
    /// Starts a program whose standard output and error go to the file `log`.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = create(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Self::spawn(command, Some(log))
    }

    /// Starts a program with pipes to its standard input and output; standard error goes to the file `log`.
    pub fn start_piped(mut command: Command, log: &Path) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(create(log)?);
        Self::spawn(command, Some(log))
    }

    /// Starts a program with the standard streams that the command names.
    pub fn spawn(mut command: Command, log: Option<&Path>) -> Result<Self> {
        let program = Path::new(command.get_program());
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let child = command.process_group(0).spawn().with_context(|| format!("{name}: cannot be started"))?;
        let id = child.id().to_string();
        let guard = Guard::new("kill -s KILL -- \"-$0\" 2> /dev/null", &[id.as_ref()])?;
        Ok(Self { name, child, guard: Some(guard), log: log.map(Path::to_owned) })
    }

    /// Its process id, which is also the id of its process group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its pipes and its exit status.
    pub const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The whole lines of its log so far.
    pub fn log(&self) -> String {
        let Some(log) = &self.log else { return String::new() };
        let bytes = std::fs::read(log).unwrap_or_default();
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        text
    }

    /// The end of its log, for an error message.
    pub fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(N_LAST_LINES)..].join("\n")
    }

    /// Waits until `find` finds something in the log.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let started = Instant::now();
        loop {
            if let Some(value) = find(&self.log()) {
                return Ok(value);
            }
            self.check_alive()?;
            if started.elapsed() > limit {
                bail!("{}: not {what} after {} s\n{}", self.name, limit.as_secs(), self.last_lines());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Fails with the last lines of the log if the process has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{}: ended with {status}\n{}", self.name, self.last_lines());
        }
        Ok(())
    }

    /// Pauses it, so that it uses no processor time while another one is measured.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let group = Pid::from_raw(self.id() as i32).context("a process id is positive")?;
        kill_process_group(group, signal).with_context(|| format!("process group {} has ended", self.id()))
    }
}

fn create(log: &Path) -> Result<File> {
    File::create(log).with_context(|| format!("{}: cannot be written", log.display()))
}

impl Drop for Process {
    fn drop(&mut self) {
        // Before the child is waited for: until then, no other process can get its id.
        drop(self.guard.take());
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_a_process_kills_its_children_even_while_paused() {
        let log = std::env::temp_dir().join(format!("cxr-process-{}", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo child $!; wait"]);
        let mut process = Process::start(command, &log).unwrap();
        let child = |log: &str| log.strip_prefix("child ")?.trim().parse::<u32>().ok();
        let sleeper = process.wait_for("started", Duration::from_mins(1), child).unwrap();
        process.pause().unwrap();
        assert!(Path::new(&format!("/proc/{sleeper}")).exists());
        drop(process);
        let state = |pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let started = Instant::now();
        while !state(sleeper).is_empty() && !state(sleeper).contains(") Z ") {
            assert!(started.elapsed() < Duration::from_secs(5), "the child is still running");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::fs::remove_file(log).unwrap();
    }
}
