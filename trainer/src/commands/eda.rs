//! `cxr-trainer eda`.

use super::options::{OpenRun, RunOptions};
use anyhow::Result;
use cxr_trainer::data::eda::eda;
use cxr_trainer::data::index::Index;
use cxr_trainer::run::RunDirectory;

pub(crate) fn run(options: RunOptions) -> Result<()> {
    RunDirectory::check_place(&options.run)?;
    // Read first: opening freezes the run directory, even with a configuration that does not fit the data.
    let index = Index::of(&options.config()?)?;
    let OpenRun { config, run, device, .. } = &options.open()?;
    eda(config, &index, run, *device).map(drop)
}
