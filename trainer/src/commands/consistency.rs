//! `cxr-trainer consistency`.

use super::shared::{BundleArguments, Common};
use anyhow::{Context, Result};
use clap::Args;
use cxr::bundle::Trust;
use cxr_trainer::data::pixels::Recipe;
use cxr_trainer::measure::consistency::{Consistency, Scorer};
use cxr_trainer::run::BUNDLE;
use cxr_trainer::{bundle, export, files};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    bundle: BundleArguments,
    /// Folder of the originals. Default: trainer.export.originals.
    #[arg(long)]
    originals: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let config = arguments.common.config()?;
    let folder = arguments.bundle.bundle.or_else(|| config.export.directory.clone());
    let folder = folder.unwrap_or_else(|| arguments.common.run.join(BUNDLE));
    let originals = arguments.originals.or_else(|| config.export.originals.clone());
    let originals = originals.context("--originals: name the folder of the originals")?;
    // Whoever measures a bundle on their own machine need not trust its maker's key; the digests are checked.
    let bundle = export::open(&folder, &Trust::Unsigned)?;
    let (_, variant) = bundle.variant(None)?;
    let mut session = bundle::session(&bundle, variant, &arguments.bundle.onnxruntime)?;
    let mut scorer = Scorer {
        session: &mut session,
        recipe: Recipe { acceptance: bundle.manifest().acceptance, preprocess: bundle.manifest().preprocess },
        calibration: variant.calibration,
        policy: &variant.policy,
        weights_sha256: bundle.manifest().files[&variant.file].sha256.clone(),
    };
    let consistency = Consistency::measure(&mut scorer, &config.data, &originals, &config.data.root)?;
    consistency.report();
    if arguments.common.run.is_dir() {
        files::write_json(&arguments.common.run.join("consistency.json"), &consistency)?;
    }
    Ok(())
}
