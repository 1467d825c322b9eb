//! The search for hyperparameters: asynchronous successive halving (ASHA, Li et al. 2020) over configurations that a
//! tree-structured Parzen estimator draws (Bergstra et al. 2011).
//!
//! Every trial is a run directory that trains to its rung and goes on from its checkpoint when it is promoted. Workers are
//! processes, on one machine or many, that claim trials from a [`store`]: a folder or Postgres. A claim has a generation,
//! and a trial's folder carries it in its name while somebody works there. Whoever takes a trial over renames the folder:
//! a worker that was only stalled finds its path gone and can write nothing.

pub mod files;
pub mod plots;
pub mod postgres;
pub mod reasons;
pub mod results;
pub mod sampler;
pub mod scheduler;
pub mod space;
pub mod store;
pub mod study;
pub mod supervisor;
pub mod worker;

pub use results::TuneFile;

use crate::config::Config;
use crate::data::index::Index;
use crate::files::keep_out_of_git;
use crate::progress::say;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use store::{Begun, Place};
use study::Definition;

/// The folder of a study.
#[derive(Debug, Clone)]
pub struct StudyDirectory {
    path: PathBuf,
}

impl StudyDirectory {
    /// The folder of a study by its name, below `runs`, or by its path.
    pub fn of(name: &Path) -> Self {
        let is_name = name.components().count() == 1 && !name.exists();
        Self { path: if is_name { Path::new("runs").join(name) } else { name.to_owned() } }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The run directory of a trial that nobody works on.
    pub fn trial(&self, number: usize) -> PathBuf {
        self.path.join("trials").join(format!("{number:04}"))
    }

    /// Removes what trials that failed before their first rung have left.
    fn remove_trials(&self) -> Result<()> {
        let trials = self.path.join("trials");
        if !trials.exists() {
            return Ok(());
        }
        std::fs::remove_dir_all(&trials).with_context(|| format!("{}: cannot be removed", trials.display()))
    }

    fn claimed(&self, number: usize, generation: u64) -> PathBuf {
        self.trial(number).with_extension(generation.to_string())
    }

    /// Takes a trial's folder for a claim, from wherever an older claim left it.
    fn take(&self, number: usize, generation: u64) -> Result<PathBuf> {
        let target = self.claimed(number, generation);
        let parent = self.path.join("trials");
        std::fs::create_dir_all(&parent)
            .with_context(|| format!("{}: cannot be created", parent.display()))?;
        let left = (1..generation).rev().map(|older| self.claimed(number, older));
        let source = std::iter::once(self.trial(number)).chain(left).find(|path| path.exists());
        let move_here = || -> std::io::Result<()> {
            match &source {
                Some(source) => std::fs::rename(source, &target)?,
                None => std::fs::create_dir_all(&target)?,
            }
            // A stalled worker may still hold such a file open: it must not become the beginning of ours.
            for entry in std::fs::read_dir(&target)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "partial") {
                    std::fs::remove_file(path)?;
                }
            }
            Ok(())
        };
        move_here().with_context(|| format!("{}: cannot be taken", target.display()))?;
        Ok(target)
    }

    /// Gives a trial's folder its plain name.
    fn settle(&self, number: usize, generation: u64) -> Result<()> {
        let from = self.claimed(number, generation);
        std::fs::rename(&from, self.trial(number))
            .with_context(|| format!("{}: was taken by another worker", from.display()))
    }
}

/// Begins a study or finds it again, after looking at whether its whole space is valid. Git ignores its folder. As long as no
/// trial was trained, it takes another definition.
///
/// # Errors
/// When a key or a value is not valid, or trials were trained with another definition.
pub fn begin(config: &Config, study: &StudyDirectory, place: &Place) -> Result<()> {
    for (key, range) in config.tune.ranges() {
        let [low, high] = range.interval();
        for position in [low, f64::midpoint(low, high), high] {
            space::apply(config, &[(key.clone(), range.value(position))].into())?;
        }
    }
    std::fs::create_dir_all(study.path())
        .with_context(|| format!("{}: cannot be created", study.path().display()))?;
    keep_out_of_git(study.path())?;
    let index = Index::of(config)?;
    if place.open()?.begin(&Definition::of(config, &index)?)? == Begun::Anew {
        say(format!(
            "{}: no trial was trained yet, so the study begins with the new values",
            study.path().display()
        ));
        study.remove_trials()?;
    }
    Ok(())
}
