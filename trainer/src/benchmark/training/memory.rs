//! Peak host memory of training on a large folder, compared with bare training steps.

use super::{Plan, Stepper, synthetic};
use crate::data::cache;
use crate::data::folds::Folds;
use crate::data::index::Index;
use crate::progress::{Meter, say};
use crate::train::loader;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Resident memory, including mapped files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    pub n_images: usize,
    pub n_train: usize,
    pub train_pixels_bytes: u64,
    /// After bare steps: network, optimiser, average, activations, one batch.
    pub bare_peak_bytes: u64,
    /// After indexing, splitting, decoding, reopening from the cache, some steps, and gathering an epoch.
    pub full_peak_bytes: u64,
    pub above_bare_bytes: u64,
    pub data: String,
}

/// Measures on a temporary generated folder in the folder of the pixel cache.
pub(super) fn measure(stepper: &mut Stepper, plan: &Plan) -> Result<Option<Memory>> {
    let (width, height) = (stepper.config.preprocess.width, stepper.config.preprocess.height);
    let size = [stepper.config.training.batch_size as i64, 1, i64::from(height), i64::from(width)];
    let images = Tensor::rand(size, (Kind::Float, stepper.device)) * 255.0;
    let labels = Tensor::rand([size[0], 1], (Kind::Float, stepper.device)).round();
    for _ in 0..plan.steps {
        stepper.step(&images, &labels)?;
    }
    let Some(bare_peak_bytes) = peak_resident_bytes() else {
        say("memory: not measured; /proc/self/status has no VmHWM");
        return Ok(None);
    };
    drop((images, labels));
    let folder = cache::folder(stepper.config.data.cache.as_deref())?;
    std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
    let folder = synthetic::Folder::generate(&folder, plan.memory_images, &stepper.config.acceptance)?;
    let config = folder.config(stepper.config);
    let index = Index::scan(&config.data.root, &config.data)?;
    let folds = Folds::frozen(&folder.path().join("folds.json"), &index, &config)?;
    drop(loader(&config, &index, &folds)?);
    let loader = loader(&config, &index, &folds)?;
    for batch in loader.epoch(0).take(plan.steps) {
        let batch = batch?;
        stepper.step(&batch.images(stepper.device)?, &batch.labels(stepper.device))?;
    }
    let meter = Meter::new("gathering an epoch", loader.pixels.len());
    for batch in loader.epoch(1) {
        meter.advance(batch?.n_images(), String::new);
    }
    let full_peak_bytes = peak_resident_bytes().context("/proc/self/status has no VmHWM")?;
    let memory = Memory {
        n_images: plan.memory_images,
        n_train: loader.pixels.len(),
        train_pixels_bytes: loader.pixels.len() as u64 * u64::from(width) * u64::from(height),
        bare_peak_bytes,
        full_peak_bytes,
        above_bare_bytes: full_peak_bytes - bare_peak_bytes,
        data: folder.description(),
    };
    let megabytes = |bytes: u64| bytes / 1_000_000;
    say(format!(
        "memory: {} MB at the peak of bare steps, {} MB above it for {} images ({} MB of decoded pixels)",
        megabytes(bare_peak_bytes),
        megabytes(memory.above_bare_bytes),
        memory.n_images,
        megabytes(memory.train_pixels_bytes)
    ));
    Ok(Some(memory))
}

fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}
