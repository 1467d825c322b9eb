//! `cxr-trainer export`.

use super::shared::{BundleArguments, Common};
use anyhow::Result;
use clap::Args;
use cxr_trainer::calibrate::Calibrated;
use cxr_trainer::config::Config;
use cxr_trainer::export::{ExportPaths, export};
use cxr_trainer::release::version::Bump;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) output: Output,
    /// The technical report; becomes the bundle's REPORT.md.
    #[arg(long)]
    pub(crate) report: Option<PathBuf>,
}

/// Where a bundle goes and who signs it.
#[derive(Debug, Args)]
pub(crate) struct Output {
    #[command(flatten)]
    bundle: BundleArguments,
    /// Ed25519 private key, PKCS#8 PEM; trainer.export.signing_key unless given.
    #[arg(long)]
    signing_key: Option<PathBuf>,
    /// Raises this part of the version of the bundle that is in place; trainer.export.version unless given.
    #[arg(long, value_enum)]
    bump: Option<Bump>,
}

impl Output {
    pub(crate) fn paths(self, config: &Config, report: Option<PathBuf>) -> ExportPaths {
        let defaults = &config.export;
        ExportPaths {
            bundle: self.bundle.bundle.unwrap_or_else(|| defaults.directory.clone()),
            signing_key: self.signing_key.unwrap_or_else(|| defaults.signing_key.clone()),
            onnxruntime: self.bundle.onnxruntime,
            bump: self.bump,
            report,
        }
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Arguments { common, output, report } = arguments;
    let opened = common.open()?;
    let trained = opened.trained()?;
    let calibrated = Calibrated::load(trained.run, &trained.weights_sha256)?;
    export(&trained, &calibrated, &output.paths(&opened.config, report)).map(drop)
}
