//! The processes: Postgres, two replicas, Prometheus and Alertmanager. All end with this process.

use super::replica::{self, Replica};
use crate::program;
use anyhow::Result;
use rig::alerting::{Alerting, Pace};
use rig::postgres::Options;
use rig::{Postgres, Settings};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A person waits: no alert is pending for longer than this.
const PACE: Pace = Pace { interval: "2s", pending: "10s", wait: "1s" };

pub(super) struct Stack {
    pub(super) replicas: Vec<Replica>,
    /// Settings of a replica, for commands.
    pub(super) settings: Settings,
    pub(super) alerting: Alerting,
    // Stopped after what uses it.
    _postgres: Postgres,
}

impl Stack {
    pub(super) fn start(out: &Path) -> Result<Self> {
        let directory = PathBuf::from(format!("/tmp/cxr-watch-{}", std::process::id()));
        let postgres = Postgres::start(Path::new("."), &directory, Options::default())?;
        let anchor = std::path::absolute(out.join("anchor"))?;
        // What an earlier run left is of another log and other replicas.
        for folder in ["anchor", "data", "alertmanager", "rules"] {
            drop(std::fs::remove_dir_all(out.join(folder)));
        }
        std::fs::create_dir_all(&anchor)?;
        let settings = replica::settings(&postgres.create("cxr")?, &anchor);
        program::output(&settings, &["migrate"])?;
        let start = |n: usize| Replica::start(&settings, &out.join(format!("service-{n}.log")));
        let replicas = (1..=2).map(start).collect::<Result<Vec<_>>>()?;
        let addresses: Vec<SocketAddr> = replicas.iter().map(|replica| replica.address).collect();
        let alerting = Alerting::start(Path::new("."), out, &addresses, PACE)?;
        Ok(Self { replicas, settings, alerting, _postgres: postgres })
    }
}
