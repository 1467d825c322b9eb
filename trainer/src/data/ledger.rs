//! The ledger of evaluations on the test fold: JSON lines, append-only.

use crate::config::Evaluation;
use crate::files;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Default name of the ledger.
const FILE: &str = "test-split-ledger.jsonl";

/// The configured ledger, else the default one in `folder`.
pub fn path(config: &Evaluation, folder: &Path) -> PathBuf {
    config.ledger.clone().unwrap_or_else(|| folder.join(FILE))
}

/// The parent folder of a run: runs in it share a ledger.
pub fn beside(run: &Path) -> PathBuf {
    if run.file_name().is_some() {
        return run.parent().map(Path::to_owned).unwrap_or_default();
    }
    // A path such as `.` has no lexical parent.
    let folder = run.canonicalize().unwrap_or_else(|_| run.to_owned());
    folder.parent().map_or_else(|| folder.clone(), Path::to_owned)
}

/// Evaluations of one set of images, the earliest first. Without a configured ledger, those that earlier
/// versions recorded in the run directory count too, and so do lines from before images had a digest.
pub fn looks(config: &Evaluation, run: &Path, images_sha256: &str) -> Result<Vec<Look>> {
    let mut looks = read(&path(config, &beside(run)))?;
    if config.ledger.is_none() {
        looks.extend(read(&run.join(FILE))?);
    }
    looks.retain(|look| look.images_sha256.as_deref().is_none_or(|images| images == images_sha256));
    looks.sort_by(|a, b| a.time.cmp(&b.time));
    Ok(looks)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// RFC 3339.
    pub time: String,
    /// Name of the run directory, or of the bundle with its version.
    pub run: String,
    pub git_commit: Option<String>,
    /// [`Config::digest`](crate::config::Config::digest).
    pub config_sha256: String,
    /// Digest of the weights, or of the bundle's graph.
    pub weights_sha256: String,
    pub command: String,
    pub reason: String,
    pub n: usize,
    pub auc: f64,
    /// Digest of the images; absent in lines from before there were gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_sha256: Option<String>,
    /// Digest of the gates at that time; absent in the same lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates_sha256: Option<String>,
}

/// Appends a line and syncs it to disk.
pub fn append(ledger: &Path, look: &Look) -> Result<()> {
    let mut line = serde_json::to_vec(look)?;
    line.push(b'\n');
    let write = || -> std::io::Result<()> {
        if let Some(folder) = ledger.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        keep_out_of_git(ledger)?;
        let mut file = OpenOptions::new().create(true).append(true).open(ledger)?;
        file.write_all(&line)?;
        file.sync_all()
    };
    write().with_context(|| {
        format!("{}: cannot be appended to, so the test fold was not evaluated", ledger.display())
    })
}

/// Makes git ignore a new ledger with the default name, unless the folder has a .gitignore.
fn keep_out_of_git(ledger: &Path) -> std::io::Result<()> {
    let folder = ledger.parent().unwrap_or(Path::new(""));
    let rules = folder.join(".gitignore");
    let is_default = ledger.file_name().is_some_and(|name| name == FILE);
    if !is_default || ledger.exists() || rules.exists() || folder.join(".git").exists() {
        return Ok(());
    }
    std::fs::write(rules, format!("/.gitignore\n/{FILE}\n"))
}

/// All lines of a ledger, empty if there is no file.
pub fn read(ledger: &Path) -> Result<Vec<Look>> {
    if !ledger.exists() {
        return Ok(Vec::new());
    }
    let text = String::from_utf8(files::read(ledger)?).with_context(|| ledger.display().to_string())?;
    let parse = |line| serde_json::from_str(line).with_context(|| format!("{}: {line}", ledger.display()));
    text.lines().filter(|line| !line.trim().is_empty()).map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_lie_side_by_side_share_the_looks_at_the_same_images() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("runs/first"), folder.path().join("runs/second"));
        let config = crate::config::Config::load(&[], None).unwrap().evaluation;
        let look = |run: &str, time: &str, images: Option<&str>| Look {
            time: time.to_owned(),
            run: run.to_owned(),
            git_commit: None,
            config_sha256: String::new(),
            weights_sha256: String::new(),
            command: "run".to_owned(),
            reason: "test".to_owned(),
            n: 2,
            auc: 0.5,
            images_sha256: images.map(str::to_owned),
            gates_sha256: Some("gates".to_owned()),
        };
        let ledger = path(&config, &beside(&first));
        assert_eq!(ledger, folder.path().join("runs").join(FILE));
        append(&ledger, &look("first", "2031-01-02T00:00:00Z", Some("same"))).unwrap();
        append(&ledger, &look("first", "2031-01-03T00:00:00Z", Some("other"))).unwrap();
        // As earlier versions recorded it.
        append(&second.join(FILE), &look("second", "2031-01-01T00:00:00Z", None)).unwrap();
        let seen = |run: &Path| -> Vec<String> {
            looks(&config, run, "same").unwrap().into_iter().map(|look| look.run).collect()
        };
        assert_eq!(seen(&first), ["first"]);
        assert_eq!(seen(&second), ["second", "first"]);
        let rules = std::fs::read_to_string(folder.path().join("runs/.gitignore")).unwrap();
        assert_eq!(rules, format!("/.gitignore\n/{FILE}\n"));
        assert_eq!(beside(Path::new("first")), Path::new(""));
        assert_eq!(beside(Path::new("runs/first/")), Path::new("runs"));
    }
}
