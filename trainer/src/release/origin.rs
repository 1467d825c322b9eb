//! Which run wrote a bundle or report: a command replaces those of another run only with --replace.

use crate::config::Config;
use crate::data::index::Index;
use crate::export::ensure_replaceable;
use crate::files;
use crate::run::RunDirectory;
use anyhow::{Context, Result, ensure};
use cxr::bundle::MANIFEST;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

pub const REPORT: &str = "REPORT.md";
/// Start of the HTML comment with the origin of a report.
const MARK: &str = "<!-- cxr-trainer report of ";

/// What bundles and reports state about their run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    run: String,
    /// Of the keys that the weights depend on.
    config_sha256: String,
    dataset_sha256: String,
}

impl Origin {
    pub fn of(config: &Config, run: &RunDirectory, index: &Index) -> Result<Self> {
        Ok(Self { run: run.name(), config_sha256: config.digest()?, dataset_sha256: index.digest() })
    }

    /// The last line of a report.
    pub fn mark(&self) -> Result<String> {
        Ok(format!("\n{MARK}{} -->\n", serde_json::to_string(self)?))
    }

    /// Whether the bundle in a folder came from this run; none if the folder is missing or empty.
    pub fn owns_bundle(&self, folder: &Path) -> Result<Option<bool>> {
        let Some(bytes) = files::read_if_exists(&folder.join(MANIFEST))? else {
            ensure_replaceable(folder)?;
            return Ok(None);
        };
        let manifest: Value = serde_json::from_slice(&bytes).with_context(|| {
            format!("{}: holds a bundle whose {MANIFEST} cannot be read", folder.display())
        })?;
        Ok(Some(serde_json::from_value(manifest["training"].clone()).is_ok_and(|found: Self| found == *self)))
    }

    /// Whether the report in a folder came from this run; none if there is no report.
    pub fn owns_report(&self, folder: &Path) -> Result<Option<bool>> {
        let Some(text) = files::read_if_exists(&folder.join(REPORT))? else { return Ok(None) };
        let text = String::from_utf8_lossy(&text);
        let mark = text.lines().rev().find_map(|line| line.strip_prefix(MARK)?.strip_suffix(" -->"));
        Ok(Some(
            mark.and_then(|mark| serde_json::from_str(mark).ok()).is_some_and(|found: Self| found == *self),
        ))
    }

    /// Refuses to replace the report of another run, unless it lies inside the run directory.
    pub fn ensure_report_replaceable(&self, run: &RunDirectory, folder: &Path, replace: bool) -> Result<()> {
        ensure!(
            replace || run.contains(folder) || self.owns_report(folder)? != Some(false),
            "{}: holds a report of another run, data or configuration; choose another --reports, or add --replace",
            folder.display()
        );
        Ok(())
    }

    /// The same for a bundle. Fails with --replace too if the folder holds files other than a bundle.
    pub fn ensure_bundle_replaceable(&self, run: &RunDirectory, folder: &Path, replace: bool) -> Result<()> {
        ensure!(
            self.owns_bundle(folder)? != Some(false) || replace || run.contains(folder),
            "{}: holds a bundle of another run, data or configuration; choose another --bundle, or add --replace",
            folder.display()
        );
        Ok(())
    }
}
