//! The folder of a study, with the run directories of its trials.

use crate::files;
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub struct StudyDirectory {
    path: PathBuf,
}

impl StudyDirectory {
    /// A name stands for a folder in `runs`; anything else is a path.
    pub fn of(name: &Path) -> Self {
        let is_name = name.components().count() == 1 && !name.exists();
        Self { path: if is_name { Path::new("runs").join(name) } else { name.to_owned() } }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The run directory of a trial that no worker holds.
    pub fn trial(&self, number: usize) -> PathBuf {
        self.path.join("trials").join(format!("{number:04}"))
    }

    /// Removes the folders of trials that failed before their first rung.
    pub(super) fn remove_trials(&self) -> Result<()> {
        let trials = self.path.join("trials");
        match std::fs::remove_dir_all(&trials) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.with_context(|| format!("{}: cannot be removed", trials.display())),
        }
    }

    pub(super) fn claimed_path(&self, number: usize, generation: u64) -> PathBuf {
        self.trial(number).with_extension(generation.to_string())
    }

    /// Renames a trial's folder for a claim. An earlier claim may have left it under its own name.
    pub(super) fn claim(&self, number: usize, generation: u64) -> Result<PathBuf> {
        let target = self.claimed_path(number, generation);
        files::create_folder(&self.path.join("trials"))?;
        let left = (1..generation).rev().map(|older| self.claimed_path(number, older));
        let source = std::iter::once(self.trial(number)).chain(left).find(|path| path.exists());
        let rename = || -> std::io::Result<()> {
            match &source {
                Some(source) => std::fs::rename(source, &target)?,
                None => std::fs::create_dir_all(&target)?,
            }
            // A stalled worker may still hold such a file open.
            for entry in std::fs::read_dir(&target)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "partial") {
                    std::fs::remove_file(path)?;
                }
            }
            Ok(())
        };
        rename().with_context(|| format!("{}: cannot be claimed", target.display()))?;
        Ok(target)
    }

    pub(super) fn release(&self, number: usize, generation: u64) -> Result<()> {
        let from = self.claimed_path(number, generation);
        std::fs::rename(&from, self.trial(number))
            .with_context(|| format!("{}: another worker has claimed it", from.display()))
    }
}
