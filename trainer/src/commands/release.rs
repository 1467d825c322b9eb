//! `cxr-trainer release`.

use super::export;
use anyhow::Result;
use cxr_trainer::calibrate::Calibrated;
use cxr_trainer::release::release;

pub(crate) fn run(arguments: export::Arguments) -> Result<()> {
    let export::Arguments { common, output, report } = arguments;
    let opened = common.open_for_bundle()?;
    let trained = opened.trained()?;
    let calibrated = Calibrated::load(trained.run, &trained.weights_sha256)?;
    release(&trained, &calibrated, &output.paths(&opened.config, &opened.run, report)).map(drop)
}
