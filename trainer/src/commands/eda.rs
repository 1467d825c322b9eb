//! `cxr-trainer eda`.

use super::shared::Common;
use anyhow::Result;
use cxr_trainer::data::eda::eda;
use cxr_trainer::data::index::Index;
use cxr_trainer::run::RunDirectory;

pub(crate) fn run(common: Common) -> Result<()> {
    RunDirectory::check_place(&common.run)?;
    // Before the run directory is frozen with a configuration that does not fit the data.
    let config = common.config()?;
    let index = Index::of(&config)?;
    let opened = common.open()?;
    eda(&opened.config, &index, &opened.run, opened.device).map(|_| ())
}
