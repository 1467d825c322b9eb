//! `cxr-trainer report`.

use super::shared::Common;
use anyhow::{Result, ensure};
use clap::Args;
use cxr_trainer::release::origin::Origin;
use cxr_trainer::report::sources::Elsewhere;
use cxr_trainer::report::{Form, report};
use cxr_trainer::run::RunDirectory;
use cxr_trainer::train::trained::TrainedRun;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    pub(crate) options: Options,
    /// Omits figures and links to them, as in a bundle.
    #[arg(long, conflicts_with = "without_images")]
    text_alone: bool,
    /// Allows replacing the report of another run.
    #[arg(long)]
    replace: bool,
}

/// Where the report goes, and what it holds besides the run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Folder for REPORT.md and its figures. Default: `report` in the run directory.
    #[arg(long)]
    reports: Option<PathBuf>,
    /// Omits figures that show images of the data set, so that the report can be shared.
    #[arg(long)]
    without_images: bool,
    /// Study of `tune` to include.
    #[arg(long)]
    study: Option<PathBuf>,
    /// Run on a re-split of all images (config/resplit.yaml) to include.
    #[arg(long)]
    resplit: Option<PathBuf>,
    /// Folder with bench.json and bench-training.json to include.
    #[arg(long)]
    bench: Option<PathBuf>,
    /// Folder with a comparison from `robustness --compare` to include.
    #[arg(long)]
    ablation: Option<PathBuf>,
}

impl Options {
    pub(crate) fn reports(&self, run: &RunDirectory) -> PathBuf {
        self.reports.clone().unwrap_or_else(|| run.report())
    }

    pub(crate) const fn form(&self) -> Form {
        if self.without_images { Form::WithoutImages } else { Form::Illustrated }
    }

    pub(crate) fn elsewhere(&self) -> Elsewhere {
        Elsewhere {
            study: self.study.clone(),
            resplit: self.resplit.clone(),
            bench: self.bench.clone(),
            ablation: self.ablation.clone(),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = &arguments.common.run;
    ensure!(folder.join("config.yaml").exists(), "{}: no such run", folder.display());
    let config = arguments.common.config()?;
    let run = RunDirectory::open(&arguments.common.run, &config)?;
    let trained = TrainedRun::open(&config, &run, arguments.common.device.open()?)?;
    let reports = arguments.options.reports(&run);
    Origin::of(&config, &run, &trained.index)?.ensure_report_may_go(&run, &reports, arguments.replace)?;
    let form = if arguments.text_alone { Form::TextAlone } else { arguments.options.form() };
    report(&trained, &arguments.options.elsewhere(), &reports, form).map(drop)
}
