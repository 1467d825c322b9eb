//! The run directory: everything that one training run leaves behind, and the names of its files.

pub mod allocator;
pub mod device;
pub mod environment;
pub(crate) mod frozen;
mod place;
pub mod verdict;

use crate::config::Config;
use crate::files;
use crate::progress::say;
use crate::run::environment::Environment;
use anyhow::{Context, Result, ensure};
use frozen::Change;
pub(crate) use place::CONFIG;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// What `split` found about the folds.
pub(crate) const SPLIT: &str = "split.json";
/// The bundle's folder in a run directory, unless another is named.
pub const BUNDLE: &str = "bundle";
/// Locked while a process trains.
const LOCK: &str = "training.lock";

/// A directory that belongs to one configuration and one dataset.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Creates it, or finds it again. Git ignores it. As long as nothing was trained in it, it takes another configuration.
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

    /// Finds it again, whatever it was configured with.
    pub fn found(path: &Path) -> Result<Self> {
        ensure!(path.is_dir(), "{}: no such run", path.display());
        ensure!(place::is_run(path), "{}: is no run directory", path.display());
        Ok(Self { path: path.to_owned() })
    }

    /// Refuses a folder that holds other things than a run, such as the images: a run would write its files among them.
    pub fn check_place(path: &Path) -> Result<()> {
        place::check(path)
    }

    fn freeze(&self, text: &str) -> Result<()> {
        files::write_atomically(&self.file(CONFIG), text.as_bytes())?;
        files::write_json(&self.file(environment::FILE), &Environment::current()?)
    }

    /// Takes a corrected configuration, unless something was trained with the old one.
    fn adapt(&self, changes: &[Change], text: &str) -> Result<()> {
        let (file, list) = (self.file(CONFIG), frozen::listed(changes));
        ensure!(
            !self.is_trained(),
            "{}: the weights in this run were trained with another configuration:\n{list}\nGive these keys their old values to go on, or choose another --run to train with the new ones. All other keys may change",
            file.display()
        );
        self.ensure_idle()?;
        say(format!("{}: nothing was trained yet, so the run takes the new values:\n{list}", file.display()));
        if changes.iter().any(Change::concerns_folds) {
            self.forget_folds()?;
        }
        self.freeze(text)
    }

    /// Whether weights were trained in it, or a mean of others was put into it.
    pub fn is_trained(&self) -> bool {
        self.checkpoint().exists() || self.best_weights().exists()
    }

    /// Removes the folds and what was found about them, to be divided again.
    pub(crate) fn forget_folds(&self) -> Result<()> {
        for file in [self.folds(), self.file(SPLIT)] {
            if file.exists() {
                std::fs::remove_file(&file)
                    .with_context(|| format!("{}: cannot be removed", file.display()))?;
            }
        }
        Ok(())
    }

    /// Marks the run as being trained until the file is closed: its configuration must not change in the first epoch, before
    /// there is a checkpoint. None where the file system has no locks.
    pub fn training(&self) -> Result<Option<File>> {
        let path = self.file(LOCK);
        let file = File::create(&path).with_context(|| format!("{}: cannot be created", path.display()))?;
        // Shared: a stalled worker of a search may still hold the lock of a trial that another has taken over.
        Ok(file.try_lock_shared().is_ok().then_some(file))
    }

    /// Refuses while another process trains here.
    pub(crate) fn ensure_idle(&self) -> Result<()> {
        let is_held = File::open(self.file(LOCK))
            .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        ensure!(
            !is_held,
            "{}: another process trains in this run, so its configuration and data cannot change; wait for it or stop it",
            self.path.display()
        );
        Ok(())
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether a path lies in it.
    pub fn contains(&self, path: &Path) -> bool {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        absolute(path).starts_with(absolute(&self.path))
    }

    /// Its own name.
    pub fn name(&self) -> String {
        let name = self
            .path
            .canonicalize()
            .ok()
            .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
        name.unwrap_or_else(|| self.path.display().to_string())
    }

    /// The frozen folds.
    pub fn folds(&self) -> PathBuf {
        self.file("folds.json")
    }

    /// Where training stands.
    pub fn checkpoint(&self) -> PathBuf {
        self.file("checkpoint.safetensors")
    }

    /// The averaged weights of the best epoch.
    pub fn best_weights(&self) -> PathBuf {
        self.file("best.safetensors")
    }

    /// Writes a figure into the folder `figures`.
    pub fn write_figure(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let folder = self.file("figures");
        files::create_folder(&folder)?;
        files::write_atomically(&folder.join(name), content.as_ref())
    }

    /// The bundle's folder, unless another is named.
    pub fn bundle(&self) -> PathBuf {
        self.file(BUNDLE)
    }

    /// The folder of the illustrated report, unless another is named.
    pub fn report(&self) -> PathBuf {
        self.file("report")
    }
}
