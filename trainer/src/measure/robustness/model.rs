//! The model under test, a trained network or a released graph, on the select fold with and without changes.
//! Scores are recorded one change at a time, so that an interrupted measurement resumes.

use super::figures::{Figures, Ruler};
use crate::bundle::{self, Released};
use crate::config::{Config, Data};
use crate::data::folds::Fold;
use crate::data::pixels::Pixels;
use crate::data::recipe::Recipe;
use crate::files;
use crate::measure::calibrate::Calibrated;
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

/// Images a batch.
const BATCH: usize = 32;
/// Rises when the same condition would give other images than before.
const METHOD: u32 = 1;
/// The folder, below the output, of the recorded scores.
const FOLDER: &str = "robustness";

/// Who gives the scores.
#[derive(Debug)]
pub enum Backend {
    /// libtorch.
    Network(Box<Network>, Device),
    /// ONNX Runtime, of a bundle.
    Graph(Box<Session>),
}

/// A model with the images that it is measured on.
#[derive(Debug)]
pub struct ModelUnderTest {
    /// The run, or the bundle with its version.
    pub name: String,
    /// Digest of its weights or its graph.
    pub weights_sha256: String,
    /// Where results go.
    pub output: PathBuf,
    /// Logit to probability.
    pub calibration: AffineCalibration,
    /// Operating point on the probability.
    pub threshold: f64,
    /// The fold's images, resized and nothing more.
    pub resized: Pixels,
    /// Labels, patients, intervals.
    pub ruler: Ruler,
    /// Who gives the scores.
    pub backend: Backend,
    /// Where embeddings of the train fold lie; none for a model without calibration of its own.
    pub reference: Option<EmbeddingReference>,
    /// Folder of the untouched originals and what its classes mean, if it is configured.
    pub originals: Option<(PathBuf, Data)>,
    /// Seed of everything random.
    pub seed: u64,
    preprocess: PreprocessSpec,
    key: String,
}

/// What the model says of images, in their order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// Before calibration.
    pub logits: Vec<f64>,
    /// Pooled features; empty where nobody asked for them.
    pub embeddings: Vec<Vec<f32>>,
}

/// Scores under one condition, on file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedScores {
    key: String,
    logits: Vec<f64>,
}

impl ModelUnderTest {
    /// A run's best network on the select fold.
    ///
    /// # Errors
    /// When nothing was trained or calibrated, or the data is not what it was.
    pub fn of_run(trained: TrainedRun, calibrated: &Calibrated, device: Device) -> Result<Self> {
        let (index, folds, config) = (&trained.index, &trained.folds, trained.config);
        let preprocess = trained.recipe().preprocess;
        let resized = Pixels::of_fold(config, index, folds, Fold::Select, &unfinished(trained.recipe()))?;
        let model = Self {
            name: trained.run.name(),
            weights_sha256: trained.weights_sha256,
            output: trained.run.file(""),
            calibration: calibrated.calibration,
            threshold: calibrated.policy.threshold,
            ruler: ruler(&resized, calibrated.policy.threshold, config),
            resized,
            backend: Backend::Network(Box::new(trained.network), device),
            reference: Some(calibrated.reference.embedding.clone()),
            originals: config.export.originals.clone().map(|root| (root, config.data.clone())),
            seed: config.seed,
            preprocess,
            key: String::new(),
        };
        model.keyed("libtorch")
    }

    /// A released bundle on the select fold that its training held out.
    ///
    /// # Errors
    /// When the data and configuration do not give the folds that the bundle was made with.
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
            threshold: variant.policy.threshold,
            ruler: ruler(&resized, variant.policy.threshold, config),
            resized,
            backend: Backend::Graph(Box::new(session)),
            reference: Some(bundle.reference().embedding.clone()),
            originals: config.export.originals.clone().map(|root| (root, config.data.clone())),
            seed: config.seed,
            preprocess: recipe.preprocess,
            key: String::new(),
        };
        model.keyed("onnxruntime")
    }

    fn keyed(mut self, engine: &str) -> Result<Self> {
        let files: Vec<&str> = self.resized.entries.iter().map(|entry| entry.sha256.as_str()).collect();
        let parts = (METHOD, engine, &self.weights_sha256, self.preprocess, self.seed, files);
        self.key = sha256_hex(&serde_json::to_vec(&parts)?);
        Ok(self)
    }

    /// Images.
    pub const fn n(&self) -> usize {
        self.resized.len()
    }

    /// Classes by image.
    pub fn positive(&self) -> Vec<bool> {
        self.ruler.positive.clone()
    }

    /// Columns and rows of the images.
    pub const fn size(&self) -> (u32, u32) {
        self.resized.size
    }

    /// Calibrated probabilities of logits.
    pub fn probabilities(&self, logits: &[f64]) -> Vec<f64> {
        logits.iter().map(|logit| self.calibration.apply(*logit).value()).collect()
    }

    /// Figures of logits.
    ///
    /// # Errors
    /// When the fold holds one class.
    pub fn figures(&self, logits: &[f64]) -> Result<Figures> {
        self.ruler.figures(&self.probabilities(logits))
    }

    /// A file among the figures of the output.
    pub fn figure(&self, name: &str) -> Result<PathBuf> {
        let folder = self.output.join("figures");
        files::create_folder(&folder)?;
        Ok(folder.join(name))
    }

    /// Logits of the fold as it is.
    pub fn clean(&mut self) -> Result<Vec<f64>> {
        self.scores_under("clean", |model, image| model.resized.image(image).to_vec())
    }

    /// Logits of the images that `change` makes of the resized ones, by number; from file when the condition, named uniquely,
    /// was finished before.
    pub fn scores_under(&mut self, name: &str, change: impl Fn(&Self, usize) -> Vec<u8>) -> Result<Vec<f64>> {
        self.recorded(name, |model| Ok(model.answer(name, change)?.logits))
    }

    /// Logits that `compute` gives, or those on file for the condition.
    pub fn recorded(
        &mut self,
        name: &str,
        compute: impl FnOnce(&mut Self) -> Result<Vec<f64>>,
    ) -> Result<Vec<f64>> {
        let folder = self.output.join(FOLDER);
        let file = folder.join(format!("{name}.json"));
        // A file that cannot be used is measured again; it is only one condition.
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

    /// What the model says of changed images.
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

    /// The images that [`answer`](Self::answer) would show the model.
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

/// Images as the network takes them: float32 `[N, 1, H, W]`.
pub fn batch(images: &[Vec<u8>], size: (u32, u32), device: Device) -> Tensor {
    score::batch(&images.concat(), images.len(), size, device)
}

fn unfinished(recipe: Recipe) -> Recipe {
    Recipe { preprocess: recipe.preprocess.unfinished(), ..recipe }
}

fn ruler(pixels: &Pixels, threshold: f64, config: &Config) -> Ruler {
    Ruler {
        positive: pixels.positive(),
        patients: patients(pixels),
        threshold,
        resamples: config.evaluation.resamples,
        seed: config.seed,
    }
}
