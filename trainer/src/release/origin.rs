//! Which run a bundle or report came from, so that a command replaces another run's only when told to.

use crate::config::Config;
use crate::data::index::Index;
use crate::run::RunDirectory;
use anyhow::{Context, Result, bail, ensure};
use cxr::bundle::MANIFEST;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::ErrorKind;
use std::path::Path;

/// The report's file in its folder.
pub const REPORT: &str = "REPORT.md";
/// What a report says of its run, in a comment that readers do not see.
const MARK: &str = "<!-- cxr-trainer report of ";

/// A run as bundles and reports name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the run directory.
    run: String,
    /// Digest of what the weights depend on.
    config_sha256: String,
    /// Digest of the data.
    dataset_sha256: String,
}

impl Origin {
    /// Of a run on this data.
    pub fn of(config: &Config, run: &RunDirectory, index: &Index) -> Result<Self> {
        Ok(Self { run: run.name(), config_sha256: config.digest()?, dataset_sha256: index.digest() })
    }

    /// The comment that a report ends with.
    pub fn mark(&self) -> Result<String> {
        Ok(format!("\n{MARK}{} -->\n", serde_json::to_string(self)?))
    }

    /// Whether the bundle in a folder came from this run; none where the folder is missing or empty.
    ///
    /// # Errors
    /// When the folder holds something that is no bundle.
    pub fn owns_bundle(&self, folder: &Path) -> Result<Option<bool>> {
        let bytes = match std::fs::read(folder.join(MANIFEST)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                ensure_no_files(folder)?;
                return Ok(None);
            }
            Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", folder.display())),
        };
        let manifest: Value = serde_json::from_slice(&bytes).with_context(|| {
            format!("{}: holds a bundle whose {MANIFEST} cannot be read", folder.display())
        })?;
        Ok(Some(serde_json::from_value(manifest["training"].clone()).is_ok_and(|found: Self| found == *self)))
    }

    /// Whether the report in a folder came from this run; none where there is no report.
    pub fn owns_report(&self, folder: &Path) -> Result<Option<bool>> {
        let file = folder.join(REPORT);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", file.display())),
        };
        let mark = text.lines().rev().find_map(|line| line.strip_prefix(MARK)?.strip_suffix(" -->"));
        Ok(Some(
            mark.and_then(|mark| serde_json::from_str(mark).ok()).is_some_and(|found: Self| found == *self),
        ))
    }

    /// Refuses to replace the report of another run. A folder inside the run directory is the run's own.
    ///
    /// # Errors
    /// Names the folder and what can be done.
    pub fn ensure_report_may_go(&self, run: &RunDirectory, folder: &Path, replace: bool) -> Result<()> {
        let is_foreign = !replace && !run.contains(folder) && self.owns_report(folder)? == Some(false);
        ensure!(
            !is_foreign,
            "{}: holds a report of another run, data or configuration; choose another --reports, or add --replace",
            folder.display()
        );
        Ok(())
    }

    /// The same for the bundle.
    ///
    /// # Errors
    /// Names the folder and what can be done.
    pub fn ensure_bundle_may_go(&self, run: &RunDirectory, folder: &Path, replace: bool) -> Result<()> {
        if self.owns_bundle(folder)? == Some(false) && !replace && !run.contains(folder) {
            bail!(
                "{}: holds a bundle of another run, data or configuration; choose another --bundle, or add --replace",
                folder.display()
            );
        }
        Ok(())
    }
}

/// Refuses a folder that holds files but no bundle: all of them would be lost.
pub fn ensure_no_files(folder: &Path) -> Result<()> {
    let holds_files = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    ensure!(
        !holds_files && !folder.is_file(),
        "{}: holds files that are no bundle, and a bundle replaces its whole folder; choose another folder",
        folder.display()
    );
    Ok(())
}
