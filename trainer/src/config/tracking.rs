//! `trainer.tracking`: the MLflow server or local store of runs.

use super::unstated;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Experiment if neither it nor the bundle has a name.
const UNNAMED: &str = "cxr";

/// Credentials come from MLflow's own environment variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tracking {
    pub server: Option<String>,
    pub store: PathBuf,
    #[serde(deserialize_with = "unstated")]
    pub experiment: String,
    #[serde(deserialize_with = "unstated")]
    pub registered_model: String,
    pub alias: String,
    pub spool: PathBuf,
    pub request_seconds: u64,
    pub flush_seconds: u64,
    pub patient_level: bool,
}

impl Tracking {
    /// Fills in the bundle's name if no experiment or registered model is given.
    #[must_use]
    pub fn named_after(mut self, bundle: &str) -> Self {
        if self.registered_model.is_empty() {
            bundle.clone_into(&mut self.registered_model);
        }
        if self.experiment.is_empty() {
            // `eda` and `train` do not need a name for the bundle.
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
                "trainer.tracking.server: contains a user name or password; put them into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
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
                "trainer.tracking.{key}: {name:?} begins with a dot or contains one of / : ' \" \\"
            );
        }
        ensure!(
            self.spool.is_relative() && self.spool.components().count() == 1,
            "trainer.tracking.spool: must be the name of a folder in the run directory"
        );
        ensure!(self.request_seconds > 0, "trainer.tracking.request_seconds: must be at least 1");
        Ok(())
    }
}
