//! `cxr-trainer train`.

use super::shared::Common;
use anyhow::Result;
use cxr_trainer::train::train;

pub(crate) fn run(common: Common) -> Result<()> {
    let opened = common.open()?;
    train(&opened.config, &opened.run, opened.device)
}
