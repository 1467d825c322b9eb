//! `cxr-trainer complete`.

use super::shared::RevisionArguments;
use anyhow::Result;
use cxr_trainer::release::complete::complete_bundle;

pub(crate) fn run(arguments: &RevisionArguments) -> Result<()> {
    let config = arguments.config()?;
    complete_bundle(&config, &arguments.request(&config))
}
