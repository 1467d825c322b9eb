//! `cxr-trainer export`.

use super::options::{BundleOptions, RunOptions};
use anyhow::Result;
use clap::Args;
use cxr_trainer::bundle::version::Bump;
use cxr_trainer::config::Config;
use cxr_trainer::export::{ExportPaths, export};
use cxr_trainer::measure::calibrate::Calibrated;
use cxr_trainer::release::destinations::Destinations;
use cxr_trainer::run::RunDirectory;
use cxr_trainer::train::trained::TrainedRun;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: RunOptions,
    #[command(flatten)]
    output: Output,
    /// Technical report to include as the bundle's REPORT.md.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Allows replacing the bundle of another run.
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Output {
    #[command(flatten)]
    bundle: BundleOptions,
    /// Ed25519 private key (PKCS#8 PEM). Default: trainer.export.signing_key.
    #[arg(long)]
    signing_key: Option<PathBuf>,
    /// Increments this part of the existing bundle's version. Default: use trainer.export.version.
    #[arg(long, value_enum)]
    bump: Option<Bump>,
}

impl Output {
    pub(crate) fn paths(self, config: &Config, run: &RunDirectory, report: Option<PathBuf>) -> ExportPaths {
        let defaults = &config.export;
        let bundle = self.bundle.bundle.or_else(|| defaults.directory.clone());
        ExportPaths {
            bundle: bundle.unwrap_or_else(|| run.bundle()),
            signing_key: self.signing_key.unwrap_or_else(|| defaults.signing_key.clone()),
            onnxruntime: self.bundle.onnxruntime,
            bump: self.bump,
            report,
        }
    }
}

impl Arguments {
    /// Opens the run, checks the destinations before anything is computed, and writes.
    pub(crate) fn run(
        self,
        registers: bool,
        write: impl FnOnce(&TrainedRun, &Calibrated, &ExportPaths) -> Result<()>,
    ) -> Result<()> {
        let Self { options, output, report, replace } = self;
        let opened = options.open_for_bundle()?;
        let trained = opened.trained()?;
        let paths = output.paths(&opened.config, &opened.directory, report);
        let destinations = Destinations {
            config: trained.config,
            run: trained.run,
            index: &trained.index,
            bundle: &paths.bundle,
            bump: paths.bump,
            reports: None,
            registers,
            replace,
        };
        destinations.check()?;
        write(&trained, &Calibrated::load(trained.run, &trained.weights_sha256)?, &paths)
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    arguments.run(false, |trained, calibrated, paths| export(trained, calibrated, paths).map(drop))
}
