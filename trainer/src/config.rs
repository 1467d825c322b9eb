//! The configuration as one typed tree: the section `trainer` of config/default.yaml, a file over it, the command line
//! over both. Values are checked here; what they mean is said where they are used.

use crate::model::{Architecture, Precision};
use anyhow::{Context, Result, ensure};
use cxr::decide::IntendedUse;
use cxr::{AcceptancePolicy, PreprocessSpec};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file that lists every key.
pub const DEFAULT_FILE: &str = "config/default.yaml";

/// The folder that holds data and weights, as the default configuration names it.
pub const DATA_FOLDER: &str = "../shared/data";

/// The section `trainer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seed of everything random.
    pub seed: u64,
    /// `data`.
    pub data: Data,
    /// `acceptance`.
    pub acceptance: AcceptancePolicy,
    /// `preprocess`.
    pub preprocess: PreprocessSpec,
    /// `model`.
    pub model: Model,
    /// `training`.
    pub training: Training,
    /// `augmentation`.
    pub augmentation: Augmentation,
    /// `stored_jpeg_quality`: see [`served_preprocess`](Self::served_preprocess).
    pub stored_jpeg_quality: Option<u8>,
    /// `calibration`.
    pub calibration: Calibration,
    /// `evaluation`.
    pub evaluation: Evaluation,
    /// `export`.
    pub export: Export,
}

/// The part that weights depend on, without the folders of this machine: what a run must not change while it goes on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainingPart {
    seed: u64,
    data: Data,
    acceptance: AcceptancePolicy,
    preprocess: PreprocessSpec,
    model: Model,
    training: Training,
    augmentation: Augmentation,
}

/// `data`: which images, and how they are divided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Folder in Kaggle's layout.
    pub root: PathBuf,
    /// Human name.
    pub name: String,
    /// Share of the fold that chooses the epoch.
    pub select_fraction: f64,
    /// Share of the fold that fits calibration and operating point.
    pub calibrate_fraction: f64,
}

/// `model`: the network before training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Which network.
    pub architecture: Architecture,
    /// Weights of the backbone; none for random ones.
    pub weights: Option<PathBuf>,
    /// Dropout before the classifier.
    pub dropout: f64,
}

/// `training`: the optimisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Passes over the train fold.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Share of the steps before the peak.
    pub warmup_fraction: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest gradient norm.
    pub gradient_norm: Option<f64>,
    /// Decay of the averaged weights, per step.
    pub average_decay: f64,
    /// Epochs without improvement.
    pub patience: usize,
    /// Precision of the convolutions.
    pub precision: Precision,
    /// Threads that prepare images.
    pub workers: usize,
}

/// `augmentation`: how training images vary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Probability of a mirror image.
    pub flip_probability: f64,
    /// Probability of rotation, translation and magnification.
    pub warp_probability: f64,
    /// Largest rotation either way.
    pub rotation_degrees: f64,
    /// Largest shift, as a share of the side.
    pub translation: f64,
    /// Smallest and largest magnification.
    pub scale: [f64; 2],
    /// Largest change of the level, as a share of white.
    pub brightness: f64,
    /// Largest relative change of the contrast.
    pub contrast: f64,
    /// Largest exponent `g` of a gamma `e^g` either way.
    pub gamma: f64,
    /// Probability of softer or sharper detail.
    pub detail_probability: f64,
    /// Detail is what shrinking by a factor of at least this one loses.
    pub detail_shrink: f64,
    /// Least and largest factor of that detail.
    pub detail_gain: [f64; 2],
    /// Probability of compressing again.
    pub jpeg_probability: f64,
    /// Lowest and highest JPEG quality.
    pub jpeg_quality: [u8; 2],
}

/// `calibration`: operating point, review band, distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Sensitivity that the operating point must reach on the calibrate fold.
    pub target_sensitivity: f64,
    /// Sensitivity at the review band's lower end.
    pub review_sensitivity: f64,
    /// Specificity at its upper end.
    pub review_specificity: f64,
    /// Percentile of the out-of-distribution score from which an image is unlike the known ones.
    pub ood_percentile: usize,
    /// Principal components of the embeddings.
    pub components: usize,
}

/// `evaluation`: how figures are measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Resamples of the patients behind every interval.
    pub resamples: usize,
    /// The ledger of looks at the test split.
    pub ledger: PathBuf,
}

/// `export`: the bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// Its folder.
    pub directory: PathBuf,
    /// Its name.
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// Largest size of all its files.
    pub max_bytes: usize,
    /// Private key that signs it.
    pub signing_key: PathBuf,
    /// Untouched originals of some images of the dataset, in the same layout.
    pub originals: Option<PathBuf>,
    /// Who and what the model is for.
    pub intended_use: IntendedUse,
}

impl Config {
    /// Reads the section `trainer` of config/default.yaml with `overlay` over it. `data_folder` stands for
    /// [`DATA_FOLDER`] in every path.
    ///
    /// # Errors
    /// Names the key and the file of what is missing, unknown, of a wrong type or out of range.
    pub fn load(overlay: Option<&Path>, data_folder: Option<&Path>) -> Result<Self> {
        let mut layers = config::Config::builder().add_source(yaml_file(Path::new(DEFAULT_FILE)));
        if let Some(path) = overlay {
            layers = layers.add_source(yaml_file(path));
        }
        let section: config::Value =
            layers.build()?.get("trainer").context("reading the section `trainer`")?;
        let mut config: Self = serde_path_to_error::deserialize(section)
            .map_err(|error| anyhow::anyhow!("trainer.{}: {}", error.path(), error.inner()))?;
        if let Some(folder) = data_folder {
            let originals = config.export.originals.as_mut();
            for path in
                [&mut config.data.root].into_iter().chain(config.model.weights.as_mut()).chain(originals)
            {
                if let Ok(rest) = path.strip_prefix(DATA_FOLDER) {
                    *path = folder.join(rest);
                }
            }
        }
        config.check()?;
        Ok(config)
    }

    /// What a run is frozen with.
    pub fn training_part(&self) -> TrainingPart {
        let Self { seed, mut data, acceptance, preprocess, mut model, training, augmentation, .. } =
            self.clone();
        data.root = PathBuf::new();
        model.weights = model.weights.map(|path| path.file_name().map(PathBuf::from).unwrap_or_default());
        TrainingPart { seed, data, acceptance, preprocess, model, training, augmentation }
    }

    /// The recipe of everything that is scored once training is over, the service's images included. Where the training
    /// images are JPEG files of the model's size, every other image is put through such a file as well; the training
    /// images have been through theirs.
    pub fn served_preprocess(&self) -> PreprocessSpec {
        PreprocessSpec { stored_jpeg_quality: self.stored_jpeg_quality, ..self.preprocess }
    }

    /// SHA-256 of the [training part](Self::training_part) as YAML.
    pub fn digest(&self) -> Result<String> {
        Ok(cxr::bundle::sha256_hex(serde_yaml_ng::to_string(&self.training_part())?.as_bytes()))
    }

    fn check(&self) -> Result<()> {
        let fraction = |key: &str, value: f64| -> Result<()> {
            ensure!((0.0..1.0).contains(&value), "trainer.{key}: {value} is not in [0, 1)");
            Ok(())
        };
        fraction("data.select_fraction", self.data.select_fraction)?;
        fraction("data.calibrate_fraction", self.data.calibrate_fraction)?;
        let held_out = self.data.select_fraction + self.data.calibrate_fraction;
        ensure!(held_out < 1.0, "trainer.data: the fractions leave nothing to train on");
        self.served_preprocess().check().map_err(|what| anyhow::anyhow!("trainer.preprocess: {what}"))?;
        fraction("model.dropout", self.model.dropout)?;
        let training = &self.training;
        ensure!(training.epochs > 0, "trainer.training.epochs: must be at least 1");
        ensure!(training.batch_size > 1, "trainer.training.batch_size: batch normalisation needs at least 2");
        ensure!(training.learning_rate > 0.0, "trainer.training.learning_rate: must be positive");
        fraction("training.warmup_fraction", training.warmup_fraction)?;
        fraction("training.average_decay", training.average_decay)?;
        ensure!(training.workers > 0, "trainer.training.workers: must be at least 1");
        let augmentation = &self.augmentation;
        let [low, high] = augmentation.jpeg_quality;
        ensure!(
            1 <= low && low <= high && high <= 100,
            "trainer.augmentation.jpeg_quality: 1 to 100, lowest first"
        );
        let [low, high] = augmentation.scale;
        ensure!(0.0 < low && low <= high, "trainer.augmentation.scale: positive, smallest first");
        let shrink = augmentation.detail_shrink;
        ensure!(
            0.0 < shrink && shrink <= 1.0,
            "trainer.augmentation.detail_shrink: {shrink} is not in (0, 1]"
        );
        let [least, most] = augmentation.detail_gain;
        ensure!(least <= most, "trainer.augmentation.detail_gain: least first");
        let calibration = &self.calibration;
        for (key, value) in [
            ("target_sensitivity", calibration.target_sensitivity),
            ("review_sensitivity", calibration.review_sensitivity),
            ("review_specificity", calibration.review_specificity),
        ] {
            ensure!(0.0 < value && value <= 1.0, "trainer.calibration.{key}: {value} is not in (0, 1]");
        }
        ensure!(calibration.ood_percentile <= 100, "trainer.calibration.ood_percentile: at most 100");
        ensure!(calibration.components > 0, "trainer.calibration.components: at least 1");
        Ok(())
    }
}

fn yaml_file(path: &Path) -> config::File<config::FileSourceFile, config::FileFormat> {
    config::File::from(path).format(config::FileFormat::Yaml)
}
