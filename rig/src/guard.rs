//! Clean-up that runs however this process ends: SIGKILL included.

use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A shell that waits until our end of its standard input closes, then cleans up.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// Runs `script` with `arguments` as `$0`, `$1`, ... when dropped or when this process has ended.
    pub(crate) fn new(script: &str, arguments: &[&OsStr]) -> Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", &format!("read -r _; {script}")])
            .args(arguments)
            .env_remove("LD_LIBRARY_PATH")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Ctrl-C goes to the terminal's process group; the guard must survive it.
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
