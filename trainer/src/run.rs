//! The run directory: the results of one training run, and the names of its files.

pub mod allocator;
pub mod device;
pub mod environment;
pub(crate) mod frozen;
pub mod verdict;

use crate::config::Config;
use crate::files;
use crate::progress::say;
use crate::run::environment::Environment;
use anyhow::{Context, Result, ensure};
use frozen::Change;
use serde_yaml_ng::Value;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// The keys that the weights depend on.
pub(crate) const CONFIG: &str = "config.yaml";
pub(crate) const SPLIT: &str = "split.json";
pub const BUNDLE: &str = "bundle";
/// Locked while a process trains.
const LOCK: &str = "training.lock";
/// Folder in the root of an empty file system.
const LOST_AND_FOUND: &str = "lost+found";

/// Belongs to one configuration and one data set.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Creates or opens a run that git ignores. Without weights, it takes a changed configuration.
    pub fn open(path: &Path, config: &Config) -> Result<Self> {
        Self::check_place(path)?;
        files::create_own_folder(path)?;
        let run = Self { path: path.to_owned() };
        let text = serde_yaml_ng::to_string(&config.training_part())?;
        let Some(changes) = frozen::changes(&run.file(CONFIG), &text)? else {
            run.freeze(&text)?;
            return Ok(run);
        };
        if !changes.is_empty() {
            run.adapt(&changes, &text)?;
        }
        Ok(run)
    }

    /// Opens an existing run without its configuration.
    pub fn found(path: &Path) -> Result<Self> {
        ensure!(path.is_dir(), "{}: no such run", path.display());
        ensure!(is_run(path), "{}: is not a run directory", path.display());
        Ok(Self { path: path.to_owned() })
    }

    /// Fails for the root of a git repository, and for a folder with files but no run.
    pub fn check_place(path: &Path) -> Result<()> {
        ensure!(
            !path.join(".git").exists(),
            "{}: is the root of a git repository; a run needs a folder of its own, such as --run runs/first",
            path.display()
        );
        ensure!(
            !holds_files(path) || is_run(path),
            "{}: contains files that do not belong to a run; a run needs a folder of its own, new or empty, such as --run runs/first",
            path.display()
        );
        Ok(())
    }

    fn freeze(&self, text: &str) -> Result<()> {
        files::write_atomically(&self.file(CONFIG), text.as_bytes())?;
        files::write_json(&self.file(environment::FILE), &Environment::current()?)
    }

    /// Takes a changed configuration if there are no weights yet.
    fn adapt(&self, changes: &[Change], text: &str) -> Result<()> {
        let (file, list) = (self.file(CONFIG), frozen::listed(changes));
        ensure!(
            !self.is_trained(),
            "{}: the weights in this run were trained with another configuration:\n{list}\nRestore the old values of these keys to continue, or choose another --run to train with the new ones. All other keys may change",
            file.display()
        );
        self.ensure_idle()?;
        say(format!("{}: the run has no weights yet and takes the new values:\n{list}", file.display()));
        if changes.iter().any(Change::affects_folds) {
            self.remove_folds()?;
        }
        self.freeze(text)
    }

    pub fn is_trained(&self) -> bool {
        self.checkpoint().exists() || self.best_weights().exists()
    }

    /// Removes the folds and the results of `split`.
    pub(crate) fn remove_folds(&self) -> Result<()> {
        for file in [self.folds(), self.file(SPLIT)] {
            if file.exists() {
                std::fs::remove_file(&file)
                    .with_context(|| format!("{}: cannot be removed", file.display()))?;
            }
        }
        Ok(())
    }

    /// Marks the run as training until the file is closed, because its configuration must not change before
    /// the first checkpoint. None if the file system has no locks.
    pub fn training(&self) -> Result<Option<File>> {
        let path = self.file(LOCK);
        let file = File::create(&path).with_context(|| format!("{}: cannot be created", path.display()))?;
        // Shared: a stalled tuning worker may still hold the lock of a trial that another one has taken over.
        Ok(file.try_lock_shared().is_ok().then_some(file))
    }

    /// Fails while another process trains in this run.
    pub(crate) fn ensure_idle(&self) -> Result<()> {
        let is_held = File::open(self.file(LOCK))
            .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        ensure!(
            !is_held,
            "{}: another process trains in this run, so its configuration and data cannot change; wait until it ends, or stop it",
            self.path.display()
        );
        Ok(())
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn contains(&self, path: &Path) -> bool {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        absolute(path).starts_with(absolute(&self.path))
    }

    pub fn name(&self) -> String {
        let name = self
            .path
            .canonicalize()
            .ok()
            .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
        name.unwrap_or_else(|| self.path.display().to_string())
    }

    pub fn folds(&self) -> PathBuf {
        self.file("folds.json")
    }

    pub fn checkpoint(&self) -> PathBuf {
        self.file("checkpoint.safetensors")
    }

    pub fn best_weights(&self) -> PathBuf {
        self.file("best.safetensors")
    }

    pub fn write_figure(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let folder = self.file("figures");
        files::create_folder(&folder)?;
        files::write_atomically(&folder.join(name), content.as_ref())
    }

    pub fn bundle(&self) -> PathBuf {
        self.file(BUNDLE)
    }

    pub fn report(&self) -> PathBuf {
        self.file("report")
    }
}

/// Whether the folder has a run's configuration or, after an interrupted start, its first file.
fn is_run(path: &Path) -> bool {
    files::is_kept_out_of_git(path) || is_runs_configuration(&path.join(CONFIG))
}

/// A run has the keys of the section `trainer` at the top; a file for --config has the section.
fn is_runs_configuration(file: &Path) -> bool {
    let text = std::fs::read(file).unwrap_or_default();
    serde_yaml_ng::from_slice(&text)
        .is_ok_and(|tree: Value| tree.get("training").is_some() && tree.get("data").is_some())
}

/// Ignores hidden files, which desktops and file servers create anywhere.
fn holds_files(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            !name.to_string_lossy().starts_with('.') && name != LOST_AND_FOUND
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_takes_a_new_an_empty_and_its_own_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        RunDirectory::check_place(&path.join("new")).unwrap();
        RunDirectory::check_place(path).unwrap();
        let config = path.join(CONFIG);
        std::fs::write(&config, "trainer: { training: { epochs: 3 } }").unwrap();
        let error = RunDirectory::check_place(path).unwrap_err().to_string();
        assert!(error.contains("do not belong to a run") && error.contains("--run runs/first"), "{error}");
        std::fs::write(&config, "seed: 1\ndata: {}\ntraining: {}\n").unwrap();
        RunDirectory::check_place(path).unwrap();
        // A start that was interrupted before the configuration was written.
        std::fs::remove_file(&config).unwrap();
        std::fs::create_dir(path.join("tracking")).unwrap();
        assert!(RunDirectory::check_place(path).is_err());
        files::keep_out_of_git(path).unwrap();
        RunDirectory::check_place(path).unwrap();
    }
}
