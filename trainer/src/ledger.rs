//! The ledger of looks at the test fold: one JSON line each, only ever appended.

use crate::config::Evaluation;
use crate::environment::{git_commit, now};
use crate::evaluate::Subject;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The ledger where the configuration names none.
const FILE: &str = "test-split-ledger.jsonl";

/// Where looks are entered: in the configured file, else in one in the folder of the run or of the results.
pub fn place(config: &Evaluation, folder: &Path) -> PathBuf {
    config.ledger.clone().unwrap_or_else(|| folder.join(FILE))
}

/// One look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// RFC 3339.
    pub time: String,
    /// Name of the run directory, or of the bundle with its version.
    pub run: String,
    /// Commit of the working tree.
    pub git_commit: Option<String>,
    /// Digest of the training configuration.
    pub config_sha256: String,
    /// Digest of the weights, or of the bundle's graph.
    pub weights_sha256: String,
    /// The subcommand.
    pub command: String,
    /// Why somebody looked.
    pub reason: String,
    /// Images.
    pub n: usize,
    /// What was seen.
    pub auc: f64,
    /// Digest of the images that were looked at (`fitness::standing`); absent in lines from before there were gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_sha256: Option<String>,
    /// Digest of the gates that were stated then; absent likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates_sha256: Option<String>,
}

impl Look {
    /// A look that is happening now.
    ///
    /// # Errors
    /// When the clock cannot be read.
    pub fn now(subject: &Subject, reason: &str, n: usize, auc: f64) -> Result<Self> {
        Ok(Self {
            time: now()?,
            run: subject.name.clone(),
            git_commit: git_commit(),
            config_sha256: subject.config_sha256.clone(),
            weights_sha256: subject.calibrated.weights_sha256.clone(),
            command: std::env::args().nth(1).unwrap_or_default(),
            reason: reason.to_owned(),
            n,
            auc,
            images_sha256: None,
            gates_sha256: None,
        })
    }
}

/// Appends a look, on disk before this returns.
///
/// # Errors
/// Names the file.
pub fn append(ledger: &Path, look: &Look) -> Result<()> {
    let mut line = serde_json::to_vec(look)?;
    line.push(b'\n');
    let write = || -> std::io::Result<()> {
        if let Some(folder) = ledger.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(ledger)?;
        file.write_all(&line)?;
        file.sync_all()
    };
    write().with_context(|| {
        format!("{}: cannot be appended to, so the test split stays unseen", ledger.display())
    })
}

/// Every look, the first first; none where there is no ledger.
///
/// # Errors
/// Names the file and the line that cannot be read.
pub fn read(ledger: &Path) -> Result<Vec<Look>> {
    if !ledger.exists() {
        return Ok(Vec::new());
    }
    let text =
        std::fs::read_to_string(ledger).with_context(|| format!("{}: cannot be read", ledger.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("{}: {line}", ledger.display())))
        .collect()
}
