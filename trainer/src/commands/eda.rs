//! `cxr-trainer eda`.

use super::shared::Common;
use anyhow::Result;
use cxr_trainer::eda::eda;

pub(crate) fn run(common: Common) -> Result<()> {
    let opened = common.open()?;
    eda(&opened.config, &opened.run, opened.device).map(|_| ())
}
