//! `cxr-trainer calibrate`.

use super::shared::Common;
use anyhow::Result;
use cxr_trainer::measure::calibrate::calibrate;

pub(crate) fn run(common: Common) -> Result<()> {
    calibrate(&common.open()?.trained()?).map(drop)
}
