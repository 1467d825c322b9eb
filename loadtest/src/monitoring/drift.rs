//! `monitoring drift`: false alarms and delays of the detectors of drift, on real images that the shipped
//! bundle scored, beside windows with a Kolmogorov-Smirnov test.

mod delays;
mod false_alarms;
pub(super) mod images;
mod peer;
pub(super) mod score;
mod site;

use crate::terminal::{print, progress};
use anyhow::{Context, Result};
use images::{Shift, Source};
use score::{Scored, Scorer};
use site::Site;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `cxr-loadtest monitoring drift`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  cxr-loadtest monitoring drift --data ../shared/data --split test --output docs/monitoring/DRIFT.md"
)]
pub struct Args {
    /// Folder of the bundle.
    #[arg(long, default_value = "models/default")]
    bundle: PathBuf,
    /// Folder with kermany224 and nih_adult288. Default: generated phantoms.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Split of kermany224. Choose methods on train; report on test.
    #[arg(long, default_value = "train")]
    split: String,
    /// Most images of each class.
    #[arg(long, default_value_t = 400)]
    per_class: usize,
    /// Simulated years.
    #[arg(long, default_value_t = 200)]
    years: usize,
    /// Draws of each shift.
    #[arg(long, default_value_t = 200)]
    draws: usize,
    /// Folder for images that were scored, so that another run is quick.
    #[arg(long, default_value = "target/monitoring-drift")]
    cache: PathBuf,
    /// ONNX Runtime's shared library.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: PathBuf,
    /// Output file for the tables.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Images of one class and shift.
type Pool = BTreeMap<Shift, Vec<Scored>>;

/// Scores the images, measures, prints and writes the tables.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let pool = pool(args)?;
    let none = pool.get(&Shift::None).context("images without a shift")?;
    let n_positive = none.iter().filter(|image| image.is_positive).count();
    progress(format_args!("{} images, {n_positive} positive", none.len()));
    let mut text = String::new();
    for (name, reference) in [("5,000 images", 5000), ("528 images", 528)] {
        let site = Site::new(&pool, reference);
        text += &false_alarms::table(&site, name, args.years)?;
        text += &delays::table(&site, name, args.draws)?;
    }
    text += &peer::table(&Site::new(&pool, 5000), args.draws)?;
    print(&text);
    if let Some(file) = &args.output {
        std::fs::write(file, text).with_context(|| format!("{}: cannot be written", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn pool(args: &Args) -> Result<Pool> {
    let source = Source::open(args.data.as_deref(), &args.split, args.per_class)?;
    let mut scorer = Scorer::open(&args.bundle, &args.onnxruntime)?;
    std::fs::create_dir_all(&args.cache).with_context(|| format!("{}", args.cache.display()))?;
    let mut pool = Pool::new();
    for shift in Shift::ALL {
        let name = format!("{}-{}-{}.json", source.name(), args.per_class, shift.file());
        let cached = args.cache.join(name);
        let scored = if let Ok(bytes) = std::fs::read(&cached) {
            serde_json::from_slice(&bytes).with_context(|| format!("{}", cached.display()))?
        } else {
            progress(format_args!("scoring: {}", shift.title()));
            let images = source.images(shift)?;
            let scored = images.iter().map(|image| scorer.score(&image.bytes, image.is_positive));
            let scored = scored.collect::<Result<Vec<Scored>>>()?;
            std::fs::write(&cached, serde_json::to_vec(&scored)?)?;
            scored
        };
        if !scored.is_empty() {
            pool.insert(shift, scored);
        }
    }
    Ok(pool)
}
