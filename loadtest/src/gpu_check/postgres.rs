//! A private Postgres for the service's audit rows, where the host has one.

use super::inputs::Host;
use super::journal::NotRun;
use super::program::Program;
use anyhow::Result;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What starts and stops it, in the repository.
const SCRIPT: &str = "scripts/private-postgres.sh";

/// A running cluster; it is stopped and deleted when dropped.
pub(super) struct Cluster<'a> {
    host: &'a Host,
    folder: PathBuf,
    /// Connection URL.
    pub(super) url: String,
}

impl<'a> Cluster<'a> {
    /// Starts one with fsync, as a hospital's would run.
    ///
    /// # Errors
    /// `NotRun` where Postgres is not installed.
    pub(super) fn start(host: &'a Host, folder: &Path, limit: Duration) -> Result<Self> {
        let script = || Program::new(host, &host.root.join(SCRIPT), limit).env_remove("LD_LIBRARY_PATH");
        if let Err(error) = script().arg("find").run() {
            return Err(NotRun(format!("{error:#}")).into());
        }
        // It exists from here on, so that what a failed start leaves behind is removed.
        let mut cluster = Self { host, folder: folder.to_owned(), url: String::new() };
        let url = script().arg("start").arg(&cluster.folder).run()?;
        url.trim().clone_into(&mut cluster.url);
        Ok(cluster)
    }
}

impl fmt::Display for Cluster<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a private cluster on a socket, fsync on")
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        let script = Program::new(self.host, &self.host.root.join(SCRIPT), Duration::from_secs(20));
        drop(script.env_remove("LD_LIBRARY_PATH").arg("stop").arg(&self.folder).run());
    }
}
