//! `cxr-trainer release`.

use super::export;
use anyhow::Result;
use cxr_trainer::calibrate::Calibrated;
use cxr_trainer::release::release;

pub(crate) fn run(arguments: export::Arguments) -> Result<()> {
    let export::Arguments { common, output, report, replace } = arguments;
    let opened = common.open()?;
    let trained = opened.trained()?;
    let paths = output.paths(&opened.config, &opened.run, report);
    export::names(&trained, &paths, replace, true).check()?;
    let calibrated = Calibrated::load(trained.run, &trained.weights_sha256)?;
    release(&trained, &calibrated, &paths).map(drop)
}
