//! The search for hyperparameters: asynchronous successive halving (ASHA, Li et al. 2020) over configurations that a
//! tree-structured Parzen estimator draws (Bergstra et al. 2011).
//!
//! Every trial is a run directory that trains to its rung and goes on from its checkpoint when it is promoted. Workers are
//! processes, on one machine or many, that claim trials from a [`store`]: a folder or Postgres. A claim has a generation,
//! and a trial's folder carries it in its name while somebody works there. Whoever takes a trial over renames the folder:
//! a worker that was only stalled finds its path gone and can write nothing.

pub mod directory;
pub mod files;
pub mod place;
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
use place::Place;
use study::{Begun, Definition};

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
    create_own_folder(study.path())?;
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
