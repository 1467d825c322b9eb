//! How much of a run the store has.

use super::delivery;
use super::spool::{Delivered, Spool};
use crate::config::Tracking;
use crate::progress::say;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// What a run's store has, and what waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The server's URL or the local store's folder.
    pub target: String,
    /// What it has.
    pub delivered: Delivered,
    /// Events that wait.
    pub n_waiting: usize,
    /// Where they wait.
    pub spool: PathBuf,
}

impl Standing {
    /// Reads it from the spool of a run's folder.
    pub fn read(config: &Tracking, folder: &Path) -> Result<Self> {
        let spool = Spool::open(folder.join(&config.spool))?;
        let target = delivery::open(config)?.target().to_owned();
        let delivered = spool.sent()?.targets.remove(&target).unwrap_or_default();
        let n_waiting = spool.lines(delivered.position)?.len();
        Ok(Self { target, delivered, n_waiting, spool: spool.file() })
    }

    /// Prints it.
    pub fn report(&self) {
        say(format!("target     {}", self.target));
        say(format!("run        {}", self.delivered.run.as_deref().unwrap_or("not created yet")));
        say(format!("delivered  {} events", self.delivered.events));
        say(format!("waiting    {} events in {}", self.n_waiting, self.spool.display()));
        for (bundle, number) in &self.delivered.versions {
            say(format!("version    {number}: bundle {bundle}"));
        }
        for reason in &self.delivered.refused {
            say(format!("refused    {reason}"));
        }
    }
}
