//! `monitoring performance`: estimates without labels beside NannyML's on the same scores, the withholding of
//! estimates on harmful shifts, and the detectors that need labels.

mod detectors;
mod peer;
mod scores;
mod windows;

use crate::monitoring::drift::images::Shift;
use crate::terminal::{print, progress};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `cxr-loadtest monitoring performance`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  cxr-trainer split --config config/kermany.yaml --run runs/folds\n  cxr-loadtest monitoring performance --data ../shared/data --folds runs/folds/folds.json --windows test"
)]
pub struct Args {
    /// Folder of the bundle.
    #[arg(long, default_value = "models/default")]
    bundle: PathBuf,
    /// Folder with kermany224 and nih_adult288.
    #[arg(long)]
    data: PathBuf,
    /// File of the folds; its calibrate fold is the reference.
    #[arg(long)]
    folds: PathBuf,
    /// Fold of the windows. Choose methods on select; report on test.
    #[arg(long, default_value = "select")]
    windows: String,
    /// Folder for images that were scored, so that another run is quick.
    #[arg(long, default_value = "target/monitoring-performance")]
    cache: PathBuf,
    /// ONNX Runtime's shared library.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: PathBuf,
    /// Interpreter with NannyML: `scripts/venv.sh monitoring-peer`. Default: no comparison.
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Output file for the tables.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Scores the images, measures, prints and writes the tables.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let mut scores = scores::Scores::open(args)?;
    let reference = scores.fold("calibrate", &[Shift::None])?;
    let windows = scores.fold(&args.windows, &[&scores::BENIGN[..], &scores::HARMFUL].concat())?;
    progress(format_args!(
        "{} images of reference, {} of windows",
        reference.clean().len(),
        windows.clean().len()
    ));
    let mut text = windows::tables(&reference, &windows, args)?;
    text += &windows::withholding(&reference, &windows);
    text += &detectors::tables(&windows);
    print(&text);
    if let Some(file) = &args.output {
        std::fs::write(file, text).with_context(|| format!("{}: cannot be written", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
