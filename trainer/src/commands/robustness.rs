//! `cxr-trainer robustness`.

use super::shared::Common;
use anyhow::Result;
use cxr_trainer::calibrate::Calibrated;
use cxr_trainer::robustness::robustness;

pub(crate) fn run(common: Common) -> Result<()> {
    let opened = common.open()?;
    let trained = opened.trained()?;
    let calibrated = Calibrated::load(trained.run, &trained.weights_sha256)?;
    robustness(&trained, &calibrated).map(drop)
}
