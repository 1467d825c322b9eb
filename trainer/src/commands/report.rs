//! `cxr-trainer report`.

use super::options::RunOptions;
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
    options: RunOptions,
    #[command(flatten)]
    contents: Contents,
    /// Omits figures and links to them, as in a bundle.
    #[arg(long, conflicts_with = "without_images")]
    text_alone: bool,
    /// Allows replacing the report of another run.
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Contents {
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
    benchmark: Option<PathBuf>,
    /// Folder with a comparison from `robustness --compare` to include.
    #[arg(long)]
    ablation: Option<PathBuf>,
}

impl Contents {
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
            benchmark: self.benchmark.clone(),
            ablation: self.ablation.clone(),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { options, contents, text_alone, replace } = arguments;
    ensure!(options.run.join("config.yaml").exists(), "{}: no such run", options.run.display());
    let config = options.config()?;
    let run = RunDirectory::open(&options.run, &config)?;
    let trained = TrainedRun::open(&config, &run, options.device.open()?)?;
    let reports = contents.reports(&run);
    Origin::of(&config, &run, &trained.index)?.ensure_report_replaceable(&run, &reports, *replace)?;
    let form = if *text_alone { Form::TextAlone } else { contents.form() };
    report(&trained, &contents.elsewhere(), &reports, form).map(drop)
}
