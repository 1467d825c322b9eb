//! `trainer.tracking`: where runs are tracked.

use super::required::unstated;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The experiment where neither it nor the bundle has a name.
const UNNAMED: &str = "cxr";

/// `tracking`: where runs are tracked. Who may write there is read from MLflow's own environment variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tracking {
    /// URL of an MLflow server; none for the local store.
    pub server: Option<String>,
    /// Folder of the local store.
    pub store: PathBuf,
    /// Experiment that runs belong to; the bundle's name unless given.
    #[serde(deserialize_with = "unstated")]
    pub experiment: String,
    /// Registered model that released bundles become versions of; the bundle's name unless given.
    #[serde(deserialize_with = "unstated")]
    pub registered_model: String,
    /// Alias that the newest registered version gets.
    pub alias: String,
    /// Folder inside the run directory where everything waits for the server.
    pub spool: PathBuf,
    /// Longest that one request may take.
    pub request_seconds: u64,
    /// Longest that a command waits at its end for what was not sent yet.
    pub flush_seconds: u64,
    /// Whether results with lines or pictures of patients are sent too.
    pub patient_level: bool,
}

impl Tracking {
    /// The same with the bundle's name where no experiment or registered model is given.
    #[must_use]
    pub fn named_after(mut self, bundle: &str) -> Self {
        if self.registered_model.is_empty() {
            bundle.clone_into(&mut self.registered_model);
        }
        if self.experiment.is_empty() {
            // Data can be examined and a network trained before the bundle has a name.
            (if bundle.is_empty() { UNNAMED } else { bundle }).clone_into(&mut self.experiment);
        }
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        if let Some(server) = &self.server {
            let rest = server.strip_prefix("http://").or_else(|| server.strip_prefix("https://"));
            ensure!(
                rest.is_some_and(|rest| !rest.is_empty()),
                "trainer.tracking.server: not an http:// or https:// URL"
            );
            ensure!(
                !server.contains('@'),
                "trainer.tracking.server: holds a user name or password; put them into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            );
        }
        ensure!(!self.alias.is_empty(), "trainer.tracking.alias: is empty");
        for (key, name) in [
            ("experiment", &self.experiment),
            ("registered_model", &self.registered_model),
            ("alias", &self.alias),
        ] {
            let forbidden = ['/', ':', '\'', '"', '\\'];
            ensure!(
                !name.starts_with('.') && !name.contains(forbidden),
                "trainer.tracking.{key}: {name:?} begins with a dot or holds one of / : ' \" \\"
            );
        }
        ensure!(
            self.spool.is_relative() && self.spool.components().count() == 1,
            "trainer.tracking.spool: the name of a folder inside the run directory"
        );
        ensure!(self.request_seconds > 0, "trainer.tracking.request_seconds: must be at least 1");
        Ok(())
    }
}
