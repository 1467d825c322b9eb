//! Runs `cxr-service`, built beside this program.

use anyhow::{Context, Result, ensure};
use rig::Settings;
use std::process::Command;

/// Runs a command and returns what it printed.
pub(crate) fn output(settings: &Settings, arguments: &[&str]) -> Result<String> {
    let output = command(settings, arguments)?.output().context("cxr-service cannot be run")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cxr-service {}: {errors}", arguments[0]);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// `cxr-service` beside this program.
pub(crate) fn command(settings: &Settings, arguments: &[&str]) -> Result<Command> {
    let path = std::env::current_exe().context("this program's own path")?.with_file_name("cxr-service");
    ensure!(path.exists(), "{} is not built: cargo build --release --bins", path.display());
    let mut command = Command::new(path);
    command.args(arguments);
    settings.apply(&mut command);
    Ok(command)
}
