//! `cxr-trainer split`.

use super::shared::Common;
use anyhow::Result;
use cxr_trainer::run::RunDirectory;
use cxr_trainer::split::split;

pub(crate) fn run(common: &Common) -> Result<()> {
    let config = common.config()?;
    split(&config, &RunDirectory::open(&common.run, &config)?).map(|_| ())
}
