//! The model under test, a trained network or a released graph, and its scores on the select fold under each
//! condition. Scores are saved condition by condition, so that an interrupted measurement resumes.

use super::figures::{Evaluator, Figures};
use crate::bundle::{self, Released};
use crate::config::{Config, Data};
use crate::data::folds::Fold;
use crate::data::pixels::Pixels;
use crate::data::recipe::Recipe;
use crate::files;
use crate::measure::calibrate::{Calibrated, probabilities};
use crate::measure::sample::patients;
use crate::model::{Network, Outputs};
use crate::progress::Meter;
use crate::train::score;
use crate::train::trained::TrainedRun;
use anyhow::Result;
use cxr::AffineCalibration;
use cxr::bundle::sha256_hex;
use cxr::embedding::EmbeddingReference;
use cxr::preprocess::{PreprocessSpec, finish};
use runtime::Session;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

const BATCH: usize = 32;
/// Increment when a condition changes its images: recorded scores are then measured again.
const METHOD: u32 = 1;
const FOLDER: &str = "robustness";

#[derive(Debug)]
pub enum Backend {
    Network(Box<Network>, Device),
    Graph(Box<Session>),
}

#[derive(Debug)]
pub struct ModelUnderTest {
    pub name: String,
    /// Digest of the weights, or of the bundle's graph.
    pub weights_sha256: String,
    pub output: PathBuf,
    pub calibration: AffineCalibration,
    /// The fold's images after resizing, before the rest of the preprocessing.
    pub resized: Pixels,
    pub evaluator: Evaluator,
    pub backend: Backend,
    pub reference: EmbeddingReference,
    /// Folder of the originals with the configuration of its classes, if configured.
    pub originals: Option<(PathBuf, Data)>,
    preprocess: PreprocessSpec,
    key: String,
}

#[derive(Debug, Default)]
pub struct Answers {
    pub logits: Vec<f64>,
    pub embeddings: Vec<Vec<f32>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedScores {
    key: String,
    logits: Vec<f64>,
}

impl ModelUnderTest {
    pub fn of_run(trained: TrainedRun, calibrated: &Calibrated, device: Device) -> Result<Self> {
        let (index, folds, config) = (&trained.index, &trained.folds, trained.config);
        let recipe = trained.recipe();
        let resized = Pixels::of_fold(config, index, folds, Fold::Select, &unfinished(recipe))?;
        let model = Self {
            name: trained.run.name(),
            weights_sha256: trained.weights_sha256,
            output: trained.run.file(""),
            calibration: calibrated.calibration,
            evaluator: evaluator(&resized, calibrated.policy.threshold, config),
            resized,
            backend: Backend::Network(Box::new(trained.network), device),
            reference: calibrated.reference.embedding.clone(),
            originals: config.export.originals.clone().map(|root| (root, config.data.clone())),
            preprocess: recipe.preprocess,
            key: String::new(),
        };
        model.with_key("libtorch")
    }

    pub fn of_bundle(config: &Config, folder: &Path, onnxruntime: &Path, output: &Path) -> Result<Self> {
        files::create_folder(output)?;
        let released = Released::open(config, folder)?;
        let (bundle, recipe) = (&released.bundle, released.recipe());
        let (_, variant) = bundle.variant(None)?;
        let resized = released.pixels(Fold::Select, &unfinished(recipe))?;
        let session = bundle::session(bundle, variant, onnxruntime)?;
        let model = Self {
            name: released.name(),
            weights_sha256: bundle::graph_digest(bundle, variant),
            output: output.to_owned(),
            calibration: variant.calibration,
            evaluator: evaluator(&resized, variant.policy.threshold, config),
            resized,
            backend: Backend::Graph(Box::new(session)),
            reference: bundle.reference().embedding.clone(),
            originals: config.export.originals.clone().map(|root| (root, config.data.clone())),
            preprocess: recipe.preprocess,
            key: String::new(),
        };
        model.with_key("onnxruntime")
    }

    fn with_key(mut self, engine: &str) -> Result<Self> {
        let files: Vec<&str> = self.resized.entries.iter().map(|entry| entry.sha256.as_str()).collect();
        let parts = (METHOD, engine, &self.weights_sha256, self.preprocess, self.evaluator.seed, files);
        self.key = sha256_hex(&serde_json::to_vec(&parts)?);
        Ok(self)
    }

    pub const fn n(&self) -> usize {
        self.resized.len()
    }

    pub const fn size(&self) -> (u32, u32) {
        self.resized.size
    }

    pub fn probabilities(&self, logits: &[f64]) -> Vec<f64> {
        probabilities(self.calibration, logits)
    }

    pub fn figures(&self, logits: &[f64]) -> Result<Figures> {
        self.evaluator.figures(&self.probabilities(logits))
    }

    pub fn figure(&self, name: &str) -> Result<PathBuf> {
        let folder = self.output.join("figures");
        files::create_folder(&folder)?;
        Ok(folder.join(name))
    }

    pub fn clean(&mut self) -> Result<Vec<f64>> {
        self.scores_under("clean", |model, image| model.resized.image(image).to_vec())
    }

    /// Logits under the condition `name`, in which `change` makes each image from the resized ones.
    pub fn scores_under(&mut self, name: &str, change: impl Fn(&Self, usize) -> Vec<u8>) -> Result<Vec<f64>> {
        self.recorded(name, |model| Ok(model.answer(name, change)?.logits))
    }

    /// The recorded logits of a condition, or else those that `compute` returns.
    pub fn recorded(
        &mut self,
        name: &str,
        compute: impl FnOnce(&mut Self) -> Result<Vec<f64>>,
    ) -> Result<Vec<f64>> {
        let folder = self.output.join(FOLDER);
        let file = folder.join(format!("{name}.json"));
        // An unusable file is replaced.
        let known: Option<RecordedScores> =
            std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(scores) = known.filter(|scores| scores.key == self.key && scores.logits.len() == self.n())
        {
            return Ok(scores.logits);
        }
        let logits = compute(self)?;
        files::create_folder(&folder)?;
        files::write_json(&file, &RecordedScores { key: self.key.clone(), logits: logits.clone() })?;
        Ok(logits)
    }

    pub fn answer(&mut self, what: &str, change: impl Fn(&Self, usize) -> Vec<u8>) -> Result<Answers> {
        let meter = Meter::new(what, self.n());
        let mut answers = Answers::default();
        let positions: Vec<usize> = (0..self.n()).collect();
        for positions in positions.chunks(BATCH) {
            let images: Vec<Vec<u8>> =
                positions.iter().map(|image| finish(change(self, *image), &self.preprocess)).collect();
            let (logits, embeddings) = self.run(&images)?;
            answers.logits.extend(logits);
            answers.embeddings.extend(embeddings);
            meter.advance(positions.len(), String::new);
        }
        Ok(answers)
    }

    /// The network inputs that [`answer`](Self::answer) scores.
    pub fn inputs(&self, change: impl Fn(&Self, usize) -> Vec<u8>) -> Vec<Vec<u8>> {
        (0..self.n()).map(|image| finish(change(self, image), &self.preprocess)).collect()
    }

    fn run(&mut self, images: &[Vec<u8>]) -> Result<(Vec<f64>, Vec<Vec<f32>>)> {
        let size = self.size();
        match &mut self.backend {
            Backend::Network(network, device) => {
                let Outputs { logits, embedding, .. } = network.outputs(&batch(images, size, *device));
                let logits: Vec<f32> = Vec::try_from(logits.flatten(0, -1))?;
                Ok((logits.into_iter().map(f64::from).collect(), Vec::try_from(embedding)?))
            }
            Backend::Graph(session) => {
                let outputs = session.run(&images.concat(), images.len())?;
                let embeddings = outputs.embedding.chunks(outputs.embedding_length).map(<[f32]>::to_vec);
                Ok((outputs.logits.into_iter().map(f64::from).collect(), embeddings.collect()))
            }
        }
    }
}

/// The network's input: float32 `[N, 1, H, W]`.
pub fn batch(images: &[Vec<u8>], size: (u32, u32), device: Device) -> Tensor {
    score::batch(&images.concat(), images.len(), size, device)
}

fn unfinished(recipe: Recipe) -> Recipe {
    Recipe { preprocess: recipe.preprocess.unfinished(), ..recipe }
}

fn evaluator(pixels: &Pixels, threshold: f64, config: &Config) -> Evaluator {
    Evaluator {
        positive: pixels.positive(),
        patients: patients(pixels),
        threshold,
        resamples: config.evaluation.resamples,
        seed: config.seed,
    }
}
