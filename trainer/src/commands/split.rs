//! `cxr-trainer split`.

use super::shared::Common;
use anyhow::Result;
use cxr_trainer::data::index::Index;
use cxr_trainer::data::split::split;
use cxr_trainer::run::RunDirectory;

pub(crate) fn run(common: &Common) -> Result<()> {
    RunDirectory::check_place(&common.run)?;
    let config = common.config()?;
    // Before the run directory is frozen with a configuration that does not fit the data.
    let index = Index::of(&config)?;
    split(&config, &index, &RunDirectory::open(&common.run, &config)?).map(|_| ())
}
