//! A program that a step runs with the host's libraries and a time limit. Its output goes to the log.

use super::inputs::Host;
use anyhow::{Context, Result, bail};
use rig::Settings;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Lines of a failed program's output that its step quotes.
const N_QUOTED: usize = 12;
/// Exit status of timeout(1) when the limit was reached.
const TIMED_OUT: i32 = 124;

pub(super) struct Program {
    command: Command,
    name: String,
    log: PathBuf,
    limit: Duration,
}

impl Program {
    /// With the host's libraries, in the repository's root.
    pub(super) fn new(host: &Host, program: &Path, limit: Duration) -> Self {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        // timeout(1) ends the program even if this process is killed. Ctrl-C reaches both (--foreground).
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--kill-after=5", &limit.as_secs().max(1).to_string()]).arg(program);
        command.current_dir(&host.root).env("LD_LIBRARY_PATH", &host.library_path);
        // The report quotes the last lines, which must be the message and not a backtrace.
        command.env("ORT_DYLIB_PATH", &host.onnxruntime).env("RUST_BACKTRACE", "0");
        Self { command, name, log: host.log.clone(), limit }
    }

    pub(super) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(super) fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(super) fn settings(mut self, settings: &Settings) -> Self {
        settings.apply(&mut self.command);
        self
    }

    pub(super) fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs it to its end and returns its standard output.
    pub(super) fn run(mut self) -> Result<String> {
        let output = self.command.stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("{}: cannot be started", self.name))?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        let mut log = self.open_log()?;
        writeln!(log, "{}\n{printed}{complaints}", self.head())?;
        if output.status.success() {
            return Ok(printed);
        }
        let all = printed + &complaints;
        let lines: Vec<&str> = all.lines().collect();
        let last = lines[lines.len().saturating_sub(N_QUOTED)..].join(" | ");
        if output.status.code() == Some(TIMED_OUT) {
            bail!("{}: did not end within {} s: {last}", self.name, self.limit.as_secs());
        }
        bail!("{}: {}: {last}", self.name, output.status);
    }

    /// The command, for a program that runs until it is stopped and writes its output to the file `output`.
    pub(super) fn into_command(self, output: &Path) -> Result<Command> {
        writeln!(self.open_log()?, "{} > {}", self.head(), output.display())?;
        Ok(self.command)
    }

    fn head(&self) -> String {
        let arguments = self.command.get_args().skip(3).map(|argument| argument.to_string_lossy());
        format!("\n$ {}", arguments.collect::<Vec<_>>().join(" "))
    }

    fn open_log(&self) -> Result<File> {
        let file = OpenOptions::new().create(true).append(true).open(&self.log);
        file.with_context(|| format!("{}: cannot be written", self.log.display()))
    }
}
