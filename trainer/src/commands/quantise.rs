//! `cxr-trainer quantise`.

use super::shared::RevisionArguments;
use anyhow::Result;
use cxr_trainer::release::quantise::quantise_bundle;

pub(crate) fn run(arguments: &RevisionArguments) -> Result<()> {
    let config = arguments.config()?;
    quantise_bundle(&config, &arguments.request(&config)).map(drop)
}
