//! `cxr-trainer split`.

use super::options::RunOptions;
use anyhow::Result;
use cxr_trainer::data::index::Index;
use cxr_trainer::data::split::split;
use cxr_trainer::run::RunDirectory;

pub(crate) fn run(options: &RunOptions) -> Result<()> {
    RunDirectory::check_place(&options.run)?;
    let config = options.config()?;
    // Read first: opening freezes the run directory, even with a configuration that does not fit the data.
    let index = Index::of(&config)?;
    split(&config, &index, &RunDirectory::open(&options.run, &config)?).map(drop)
}
