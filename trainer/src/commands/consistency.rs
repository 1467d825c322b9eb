//! `cxr-trainer consistency`.

use super::options::{BundleOptions, RunOptions};
use anyhow::{Context, Result};
use clap::Args;
use cxr_trainer::measure::consistency::{Consistency, FILE, Scorer};
use cxr_trainer::run::BUNDLE;
use cxr_trainer::{bundle, files};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: RunOptions,
    #[command(flatten)]
    bundle: BundleOptions,
    /// Folder of the originals. Default: trainer.export.originals.
    #[arg(long)]
    originals: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let config = arguments.options.config()?;
    let folder = arguments.bundle.bundle.or_else(|| config.export.directory.clone());
    let folder = folder.unwrap_or_else(|| arguments.options.run.join(BUNDLE));
    let originals = arguments.originals.or_else(|| config.export.originals.clone());
    let originals = originals.context("--originals: name the folder of the originals")?;
    let bundle = bundle::open(&folder, None)?;
    let (_, variant) = bundle.variant(None)?;
    let mut session = bundle::session(&bundle, variant, &arguments.bundle.onnxruntime)?;
    let mut scorer = Scorer::of_bundle(&bundle, variant, &mut session);
    let consistency = Consistency::measure(&mut scorer, &config.data, &originals, &config.data.root)?;
    consistency.print();
    if arguments.options.run.is_dir() {
        files::write_json(&arguments.options.run.join(FILE), &consistency)?;
    }
    Ok(())
}
