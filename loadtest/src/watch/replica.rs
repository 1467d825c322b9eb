//! One replica of the service in the development profile.

use crate::program::{command, output};
use anyhow::Result;
use rig::{Process, Settings};
use std::net::SocketAddr;
use std::path::Path;
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
pub(super) fn settings(url: &str, anchor: &Path) -> Settings {
    Settings::development(url)
        .set("audit.anchor.directory", &anchor.display())
        .set("monitoring.interval_ms", &1000)
        .set("monitoring.results_interval_ms", &2000)
        .set("model.sessions", &1)
}
