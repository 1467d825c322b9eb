//! `cxr-trainer soup`.

use super::shared::Common;
use anyhow::Result;
use clap::Args;
use cxr_trainer::run::RunDirectory;
use cxr_trainer::soup::{Recipe, Statistics, from_study, soup};
use cxr_trainer::tune::StudyDirectory;
use cxr_trainer::tune::space::apply;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Runs to average. --config must be that of the first.
    #[arg(long, num_args = 1.., required_unless_present = "study", conflicts_with = "study")]
    from: Vec<PathBuf>,
    /// Averages the trials of this study that reached the best trial's rung. --config must be the study's.
    #[arg(long)]
    study: Option<PathBuf>,
    /// Augmented copies of the select fold to evaluate in addition to it.
    #[arg(long, default_value_t = 0)]
    augmented_copies: usize,
    /// Batch normalisation statistics to use.
    #[arg(long, value_enum, default_value = "better")]
    statistics: Statistics,
    /// Moves the result towards the pretrained backbone by this share.
    #[arg(long, value_name = "ALPHA")]
    towards_pretrained: Option<f64>,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Arguments { common, mut from, study, augmented_copies, statistics, towards_pretrained } = arguments;
    let mut config = common.config()?;
    if let Some(study) = study {
        let (results, runs) = from_study(&StudyDirectory::of(&study))?;
        if let Some(best) = &results.best {
            config = apply(&config, &best.parameters)?;
        }
        from = runs;
    }
    let device = common.device.open()?;
    let out = RunDirectory::open(&common.run, &config)?;
    soup(&config, &out, &from, &Recipe { augmented_copies, statistics, towards_pretrained }, device).map(drop)
}
