//! Hyperparameter search: asynchronous successive halving (ASHA, Li et al. 2020) over configurations drawn by
//! a tree-structured Parzen estimator (Bergstra et al. 2011).
//!
//! Every trial is a run directory that trains up to its rung and resumes from its checkpoint when it is
//! promoted. Workers are processes, on one machine or many, that claim trials in a [`store`]: a folder or
//! Postgres. Every claim has a generation number, and a trial's folder carries it in its name while a worker
//! trains it. A worker that takes over a trial renames the folder. If the old worker was only stalled, its
//! path no longer exists and it can write nothing.

pub mod directory;
pub mod files;
pub mod location;
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

pub use directory::StudyDirectory;
pub use results::TuneFile;

use crate::config::Config;
use crate::data::index::Index;
use crate::files::create_own_folder;
use crate::progress::say;
use anyhow::Result;
use location::StoreLocation;
use study::{BeginOutcome, Definition};

/// Creates or reopens a study after validating its search space.
pub fn begin(config: &Config, study: &StudyDirectory, location: &StoreLocation) -> Result<()> {
    for (key, range) in config.tune.ranges() {
        let [low, high] = range.interval();
        for position in [low, f64::midpoint(low, high), high] {
            space::apply(config, &[(key.clone(), range.value(position))].into())?;
        }
    }
    create_own_folder(study.path())?;
    let index = Index::of(config)?;
    if location.open()?.begin(&Definition::of(config, &index)?)? == BeginOutcome::Reset {
        say(format!("{}: no trial was trained yet: starts over with the new values", study.path().display()));
        study.remove_trials()?;
    }
    Ok(())
}
