//! The trainer on the device. It reads the folds select and calibrate, and never a test split.

use super::Args;
use super::dataset::{CLASSES, Subset};
use super::inputs::Host;
use super::program::Program;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// cuBLAS is deterministic only with this setting.
const CUBLAS_WORKSPACE: (&str, &str) = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8");
const REPEATED_BATCH: usize = 16;

/// Patients in known forms of file names. Any other file counts as a patient of its own.
const PATIENT: &str =
    "^(person[0-9]+_(?:bacteria|virus)|(?:NORMAL2-)?IM-[0-9]+)|^([0-9]{8})_[0-9]{3}[.]|^(.+)$";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Images in all folds together.
    pub images: usize,
    pub precision: String,
    pub epochs: Vec<Epoch>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    pub epoch: usize,
    pub train_loss: f64,
    /// Area under the curve on the select fold.
    pub select_auc: f64,
    pub images_per_second: f64,
}

impl fmt::Display for Training {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let best = self.epochs.iter().map(|epoch| epoch.select_auc).fold(0.0, f64::max);
        let rate = self.epochs.last().map_or(0.0, |epoch| epoch.images_per_second);
        let (epochs, images) = (self.epochs.len(), self.images);
        write!(
            f,
            "{epochs} epochs on {images} images, {rate:.1} images/s in the last, best select AUC {best:.4}"
        )
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// `figures` of `evaluation-select.json`.
    pub select: Value,
    /// `figures` of `evaluation-calibrate.json`.
    pub calibrate: Value,
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let auc = |figures: &Value| {
            let auc = &figures["auc"];
            let (low, high) = (number(&auc["ci95"][0]), number(&auc["ci95"][1]));
            format!("{:.4} [{low:.4}, {high:.4}]", number(&auc["value"]))
        };
        write!(f, "AUC on select {}, on calibrate {}", auc(&self.select), auc(&self.calibrate))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// The trainer's message: the largest difference of each output.
    pub parity: String,
    /// The trainer's message on int8: how many decisions it changes. After a few epochs, any number is fine.
    pub int8: String,
    pub bytes: u64,
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}; bundle of {} bytes verified", self.parity, self.int8, self.bytes)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repetition {
    /// Training loss of the epoch, which is equal in both runs.
    pub train_loss: String,
    pub same_weights: bool,
}

impl fmt::Display for Repetition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights = if self.same_weights { "weights equal bit for bit" } else { "weights differ" };
        write!(f, "loss {} in both runs, {weights}", self.train_loss)
    }
}

/// `bench.json` of `cxr-trainer benchmark training`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bench(pub Value);

impl fmt::Display for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median = |name: &str| number(&self.0["throughput"][name]["median"]);
        let (full, bare, ratio) = (median("full"), median("bare"), median("ratio"));
        write!(f, "full step {full:.1} images/s, bare step {bare:.1}, ratio {ratio:.3}")
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

pub(super) struct Trainer<'a> {
    host: &'a Host,
    subset: &'a Subset,
    run: PathBuf,
}

impl<'a> Trainer<'a> {
    pub(super) fn new(host: &'a Host, args: &Args, subset: &'a Subset) -> Result<Self> {
        let (batch, n_linked) = (args.batch_size(), subset.files.len());
        let epochs = args.by_device(args.epochs, 3, 1);
        let trainer = Self { host, subset, run: host.work.join("run") };
        let speed = configuration(host, &args.architecture, (epochs, batch, false), n_linked)?;
        let repeated = configuration(host, &args.architecture, (1, REPEATED_BATCH, true), n_linked)?;
        for (name, text) in [("train.yaml", speed), ("repeat.yaml", repeated)] {
            let file = host.work.join(name);
            std::fs::write(&file, text).with_context(|| format!("{}: cannot be written", file.display()))?;
        }
        Ok(trainer)
    }

    pub(super) fn train(&self, limit: Duration) -> Result<Training> {
        self.command("train", &self.run, "train.yaml", &self.subset.folder, limit).run()?;
        let epochs = epochs(&self.run)?;
        ensure!(epochs.iter().all(|epoch| epoch.train_loss.is_finite()), "a loss is not finite: {epochs:?}");
        Ok(Training {
            images: self.subset.files.len(),
            precision: self.host.training_precision().to_owned(),
            epochs,
        })
    }

    pub(super) fn evaluate(&self, limit: Duration) -> Result<Evaluation> {
        let command = |name| self.command(name, &self.run, "train.yaml", &self.subset.folder, limit);
        command("calibrate").run()?;
        let fold = |name: &str| -> Result<Value> {
            command("evaluate").args(&["--fold", name]).run()?;
            let file: Value = read_json(&self.run.join(format!("evaluation-{name}.json")))?;
            Ok(file["figures"].clone())
        };
        Ok(Evaluation { select: fold("select")?, calibrate: fold("calibrate")? })
    }

    /// Exports and verifies the bundle. The trainer checks parity on the CPU, which never rounds to TF32.
    pub(super) fn export(&self, limit: Duration) -> Result<Export> {
        let bundle = self.host.work.join("bundle");
        let on_cpu = Program::new(self.host, &self.host.trainer, limit).args(&["export", "--device", "cpu"]);
        let printed = self.options(on_cpu, &self.run, "train.yaml", &self.subset.folder).run()?;
        let line = |beginning: &str| {
            let line = printed.lines().find(|line| line.starts_with(beginning)).map(str::to_owned);
            line.with_context(|| format!("the trainer did not compare {beginning}"))
        };
        let (parity, int8) = (line("ONNX Runtime against libtorch")?, line("int8 against fp32")?);
        let verify = Program::new(self.host, &self.host.trainer, limit).arg("verify").arg(&bundle);
        let key = self.host.root.join("config/development-signing-key.pub.pem");
        verify.arg("--public-key").arg(key).run()?;
        let manifest: Value = read_json(&bundle.join("bundle.json"))?;
        let files = manifest["files"].as_object().into_iter().flatten();
        Ok(Export { parity, int8, bytes: files.filter_map(|(_, file)| file["bytes"].as_u64()).sum() })
    }

    pub(super) fn repeat(&self, limit: Duration) -> Result<Repetition> {
        let mut found = Vec::new();
        for name in ["repeat-1", "repeat-2"] {
            let run = self.host.work.join(name);
            self.command("train", &run, "repeat.yaml", &self.subset.small, limit / 2).run()?;
            let metrics = run.join("metrics.csv");
            let first = rows::<Losses>(&metrics)?.into_iter().next();
            let losses = first.with_context(|| format!("{}: holds no epoch", metrics.display()))?;
            found.push((losses, read(&run.join("best.safetensors"))?));
        }
        let ((losses, weights), (again, weights_again)) = (&found[0], &found[1]);
        ensure!(losses == again, "the losses on train and select differ: {losses:?}, then {again:?}");
        Ok(Repetition { train_loss: losses.train_loss.clone(), same_weights: weights == weights_again })
    }

    pub(super) fn bench(&self, steps: usize, limit: Duration) -> Result<Bench> {
        let run = self.host.work.join("bench");
        let command = self.command("benchmark training", &run, "train.yaml", &self.subset.folder, limit);
        command.args(&["--rounds", "3", "--memory-images", "0", "--steps", &steps.to_string()]).run()?;
        read_json(&run.join("bench.json")).map(Bench)
    }

    fn command(&self, name: &str, run: &Path, config: &str, data: &Path, limit: Duration) -> Program {
        let program = Program::new(self.host, &self.host.trainer, limit);
        let program = program.args(&name.split(' ').collect::<Vec<_>>());
        self.options(program.arg("--device").arg(self.host.trainer_device()), run, config, data)
    }

    fn options(&self, program: Program, run: &Path, config: &str, data: &Path) -> Program {
        let program = program.arg("--run").arg(run).arg("--config").arg(self.host.work.join(config));
        program.arg("--data").arg(data).env(CUBLAS_WORKSPACE.0, CUBLAS_WORKSPACE.1)
    }
}

/// Overrides the trainer's defaults: folds of the linked images, and output in the work folder.
fn configuration(
    host: &Host,
    architecture: &str,
    (epochs, batch, deterministic): (usize, usize, bool),
    n_linked: usize,
) -> Result<String> {
    // A JSON string is also a YAML string.
    let quoted = |path: &Path| serde_json::to_string(&path.to_string_lossy());
    let weights = host.weights.as_ref().map_or(Ok("null".to_owned()), |file| quoted(file))?;
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2));
    let precision = host.training_precision();
    // From random weights, a network learns nothing in a few epochs at the learning rate for pretrained ones.
    let pace = match host.weights {
        Some(_) => "",
        None => ", learning_rate: 1.0e-3, average_decay: 0.9, loss: { label_smoothing: 0.0 }",
    };
    let [negative, positive] = CLASSES;
    // There cannot be more components of the embeddings than images.
    let components = (n_linked / 16).clamp(2, 32);
    let [cache, bundle, ledger, store] =
        ["pixels", "bundle", "ledger.jsonl", "mlruns"].map(|name| quoted(&host.work.join(name)));
    Ok(format!(
        "trainer:
  data: {{ layout: flat, name: \"images of the GPU check\", classes: {{ {negative}: negative, {positive}: positive }}, cache: {cache},
    patient_pattern: '{PATIENT}', select_fraction: 0.2, calibrate_fraction: 0.2, test_fraction: 0.05 }}
  model: {{ architecture: {architecture}, weights: {weights} }}
  training: {{ epochs: {epochs}, batch_size: {batch}, patience: {epochs}, workers: {workers}, precision: {precision},
    deterministic: {deterministic}{pace} }}
  calibration: {{ ood_images: null, components: {components}, min_per_class: 2 }}
  evaluation: {{ resamples: 500, ledger: {ledger}, external: null }}
  export: {{ directory: {bundle}, name: cxr-gpu-check, version: 0.1.0, max_bytes: 400000000, originals: null, int8_max_flips: 1,
    intended_use: {{ statement: \"None: a check of a host.\", age_years: null, views: [], modalities: [] }} }}
  stored_jpeg_quality: 75
  tracking: {{ store: {store} }}
",
        cache = cache?,
        bundle = bundle?,
        ledger = ledger?,
        store = store?,
    ))
}

fn epochs(run: &Path) -> Result<Vec<Epoch>> {
    let file = run.join("metrics.csv");
    let epochs: Vec<Epoch> = rows(&file)?;
    ensure!(!epochs.is_empty(), "{}: holds no epoch", file.display());
    Ok(epochs)
}

/// The losses of an epoch in `metrics.csv`, as text: two trainings must print the same digits.
#[derive(Debug, PartialEq, Deserialize)]
struct Losses {
    train_loss: String,
    select_loss: String,
}

fn rows<T: serde::de::DeserializeOwned>(file: &Path) -> Result<Vec<T>> {
    let rows = csv::Reader::from_path(file).and_then(|mut reader| reader.deserialize().collect());
    rows.with_context(|| format!("{}: not as expected", file.display()))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T> {
    serde_json::from_slice(&read(file)?).with_context(|| format!("{}: not as expected", file.display()))
}
