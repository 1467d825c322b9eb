//! One replica of the service in the development profile.

use crate::bench::parse_setting;
use anyhow::{Context, Result, ensure};
use rig::{Process, Settings};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const START_LIMIT: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Replica {
    pub(super) address: SocketAddr,
    pub(super) token: String,
    _process: Process,
}

impl Replica {
    pub(super) fn start(settings: &Settings, log: &Path) -> Result<Self> {
        let (mut process, address) = rig::service::serve(command(settings, &["serve"])?, log, START_LIMIT)?;
        rig::service::wait_ready(&mut process, address, "/readyz", START_LIMIT)?;
        let token = ["dev-token", "--subject", "watch", "--scope", "predict monitor:read", "--ttl", "12h"];
        Ok(Self { address, token: output(settings, &token)?, _process: process })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// What both replicas are configured with: results as quickly as a person looks.
pub(super) fn settings(url: &str) -> Result<Settings> {
    let changes = ["monitoring.interval_ms=1000", "monitoring.results_interval_ms=2000", "model.sessions=1"];
    let mut settings = Settings::development(url);
    for change in changes {
        let (key, value) = parse_setting(change).map_err(anyhow::Error::msg)?;
        settings = settings.set(&key, &value);
    }
    Ok(settings)
}

/// Runs a command of `cxr-service` and returns what it printed.
pub(super) fn output(settings: &Settings, arguments: &[&str]) -> Result<String> {
    let output = command(settings, arguments)?.output().context("cxr-service cannot be run")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cxr-service {}: {errors}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// `cxr-service` beside this program.
fn command(settings: &Settings, arguments: &[&str]) -> Result<Command> {
    let path = std::env::current_exe().context("this program's own path")?.with_file_name("cxr-service");
    ensure!(path.exists(), "{} is not built: cargo build --release --bins", path.display());
    let mut command = Command::new(path);
    command.args(arguments);
    settings.apply(&mut command);
    Ok(command)
}
