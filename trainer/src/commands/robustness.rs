//! `cxr-trainer robustness`.

use super::options::RunOptions;
use anyhow::{Context, Result, ensure};
use clap::Args;
use cxr::analysis::corrupt::MAX_SEVERITY;
use cxr_trainer::files;
use cxr_trainer::measure::robustness::compare::{COMPARISON, compare};
use cxr_trainer::measure::robustness::model::ModelUnderTest;
use cxr_trainer::measure::robustness::{Part, robustness};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: RunOptions,
    /// What to measure. Default: everything.
    #[arg(long, value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Severities of the corruptions, 1 to 5. Default: trainer.robustness.severities.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_SEVERITY)))]
    severities: Vec<u8>,
    /// Measures this bundle with ONNX Runtime instead of a run.
    #[arg(long, requires = "onnxruntime", requires = "output")]
    bundle: Option<PathBuf>,
    /// Output folder for --bundle. Results of a run go into its directory.
    #[arg(long, requires = "bundle")]
    output: Option<PathBuf>,
    /// Path of ONNX Runtime's shared library, for --bundle.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: Option<PathBuf>,
    /// Compares the results of these runs (and of --run, if it exists) without measuring anything.
    #[arg(long, num_args = 1.., conflicts_with = "bundle")]
    compare: Vec<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    if !arguments.compare.is_empty() {
        let rows = compare(&arguments.compare)?;
        if arguments.options.run.is_dir() {
            files::write_json(&arguments.options.run.join(COMPARISON), &rows)?;
        }
        return Ok(());
    }
    let config = arguments.options.config()?;
    let parts = if arguments.parts.is_empty() { Part::ALL.to_vec() } else { arguments.parts };
    let severities = if arguments.severities.is_empty() {
        config.robustness.severities.clone()
    } else {
        arguments.severities
    };
    ensure!(severities.is_sorted_by(|a, b| a < b), "--severities: {severities:?} must be in rising order");
    let mut model = if let Some(bundle) = &arguments.bundle {
        let library = arguments.onnxruntime.as_deref().context("--bundle needs --onnxruntime")?;
        let output = arguments.output.as_deref().context("--bundle needs --output")?;
        files::create_own_folder(output)?;
        ModelUnderTest::of_bundle(&config, bundle, library, output)?
    } else {
        let opened = arguments.options.open()?;
        let (trained, calibrated) = opened.calibrated()?;
        ModelUnderTest::of_run(trained, &calibrated, opened.device)?
    };
    robustness(&mut model, &severities, &parts).map(drop)
}
