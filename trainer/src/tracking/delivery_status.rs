//! How much of a run the store has received.

use super::delivery;
use super::spool::{Delivered, Spool};
use crate::config::Tracking;
use crate::progress::say;
use anyhow::Result;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryStatus {
    /// [`Store::target`](super::store::Store::target).
    pub target: String,
    pub delivered: Delivered,
    pub n_waiting: usize,
    pub spool: PathBuf,
}

impl DeliveryStatus {
    pub fn read(config: &Tracking, folder: &Path) -> Result<Self> {
        let spool = Spool::open(folder.join(&config.spool))?;
        let target = delivery::open(config)?.target().to_owned();
        let delivered = spool.delivered(&target)?;
        let n_waiting = spool.lines(delivered.position)?.len();
        Ok(Self { target, delivered, n_waiting, spool: spool.file() })
    }

    pub fn print(&self) {
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
