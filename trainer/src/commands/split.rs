//! `cxr-trainer split`.

use super::shared::Common;
use anyhow::Result;
use cxr_trainer::dataset::index::Index;
use cxr_trainer::run::RunDirectory;
use cxr_trainer::split::split;

pub(crate) fn run(common: &Common) -> Result<()> {
    RunDirectory::check_place(&common.run)?;
    let config = common.config()?;
    // Before the run directory is frozen with a configuration that does not fit the data.
    let index = Index::of(&config)?;
    split(&config, &index, &RunDirectory::open(&common.run, &config)?).map(|_| ())
}
