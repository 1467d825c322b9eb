//! The configuration as one typed tree: the section `trainer` of config/default.yaml, files over it, the command line
//! over all. Values are checked here; what they mean is said where they are used.

pub mod augmentation;
pub mod calibration;
pub mod data;
pub mod evaluation;
pub mod export;
pub mod gates;
mod layers;
pub mod model;
pub mod provenance;
mod required;
pub mod robustness;
pub mod screening;
mod share;
pub mod tracking;
pub mod training;
pub mod tune;

pub use augmentation::Augmentation;
pub use calibration::Calibration;
pub use data::Data;
pub use evaluation::Evaluation;
pub use export::Export;
pub use gates::Gates;
pub(crate) use layers::nearest;
pub use model::Model;
pub use provenance::Provenance;
pub use robustness::Robustness;
pub use screening::Screening;
pub use tracking::Tracking;
pub use training::Training;
pub use tune::Tune;

use anyhow::Result;
use cxr::{AcceptancePolicy, PreprocessSpec};
use data::Label;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What the classes are called where several folders count as one of them.
const UNNAMED: [&str; 2] = ["NEGATIVE", "POSITIVE"];

/// The folder that holds data and weights, as the configurations in config/ name it.
pub const DATA_FOLDER: &str = "../shared/data";

/// The section `trainer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seed of everything random.
    pub seed: u64,
    /// `data`.
    pub data: Data,
    /// `audit`.
    pub audit: Screening,
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
    /// `robustness`.
    pub robustness: Robustness,
    /// `export`.
    pub export: Export,
    /// `tracking`.
    pub tracking: Tracking,
    /// `tune`.
    pub tune: Tune,
    /// `provenance`.
    pub provenance: Provenance,
    /// `gates`.
    pub gates: Gates,
}

/// The part that weights depend on, without the folders of this machine: what a run must not change once it has weights. Keys of
/// these sections on which no weight depends are blank.
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

impl Config {
    /// Reads the section `trainer` of config/default.yaml with these files over it, the later over the earlier. `data_folder` stands for
    /// [`DATA_FOLDER`] in every path.
    ///
    /// # Errors
    /// Names the key and the file of what is missing, unknown, of a wrong type or out of range.
    pub fn load(files: &[PathBuf], data_folder: Option<&Path>) -> Result<Self> {
        let mut config: Self = layers::read(files)?;
        if let Some(folder) = data_folder {
            let others = [
                config.data.table.as_mut(),
                config.model.weights.as_mut(),
                config.export.originals.as_mut(),
                config.calibration.ood_images.as_mut(),
                config.evaluation.external.as_mut().map(|external| &mut external.root),
            ];
            for path in [&mut config.data.root].into_iter().chain(others.into_iter().flatten()) {
                if let Ok(rest) = path.strip_prefix(DATA_FOLDER) {
                    *path = folder.join(rest);
                }
            }
        }
        config.tracking = config.tracking.named_after(&config.export.name);
        config.check().map_err(|error| layers::with_file(files, &error))?;
        Ok(config)
    }

    /// What a run is frozen with.
    pub fn training_part(&self) -> TrainingPart {
        let Self { seed, mut data, acceptance, preprocess, mut model, mut training, augmentation, .. } =
            self.clone();
        data.root = PathBuf::new();
        data.cache = None;
        data.name = String::new();
        data.max_unreadable_share = 0.0;
        data.table = data.table.map(|path| path.file_name().map(PathBuf::from).unwrap_or_default());
        training.workers = 0;
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

    pub(crate) fn check(&self) -> Result<()> {
        self.data.check()?;
        self.audit.check()?;
        self.served_preprocess().check().map_err(|what| anyhow::anyhow!("trainer.preprocess: {what}"))?;
        self.model.check()?;
        self.training.check()?;
        self.augmentation.check()?;
        self.calibration.check()?;
        self.tracking.check()?;
        self.evaluation.check()?;
        self.robustness.check()?;
        self.export.check()?;
        self.gates.check()?;
        self.tune.check()
    }

    /// What the service calls the negative and the positive class: as configured, else each by the one class folder that counts as it.
    pub fn labels(&self) -> [String; 2] {
        let folders = |wanted: Label| {
            let classes = self.data.classes.iter().filter(move |(_, label)| **label == wanted);
            classes.map(|(name, _)| name.to_ascii_uppercase())
        };
        let named = |label: Label, unnamed: &str| {
            let mut folders = folders(label);
            match (folders.next(), folders.next()) {
                (Some(only), None) => only,
                _ => unnamed.to_owned(),
            }
        };
        let rule = || [named(Label::Negative, UNNAMED[0]), named(Label::Positive, UNNAMED[1])];
        self.export.labels.clone().unwrap_or_else(rule)
    }

    /// SHA-256 of everything that the verdict compares figures with.
    pub fn gates_digest(&self) -> Result<String> {
        let fixed = (&self.gates, self.calibration.target_sensitivity);
        Ok(cxr::bundle::sha256_hex(&serde_json::to_vec(&fixed)?))
    }

    /// Refuses a configuration that does not say which data it is for.
    ///
    /// # Errors
    /// Names every key that is not set.
    pub fn check_for_data(&self) -> Result<()> {
        required::check(&[
            ("trainer.data.root (or --data)", self.data.root.as_os_str().is_empty()),
            ("trainer.data.name", self.data.name.is_empty()),
            ("trainer.data.classes", self.data.classes.is_empty()),
        ])
    }

    /// Refuses a configuration that does not say what the bundle is.
    ///
    /// # Errors
    /// Names every key that is not set.
    pub fn check_for_bundle(&self) -> Result<()> {
        let export = &self.export;
        required::check(&[
            ("trainer.export.name", export.name.is_empty()),
            ("trainer.export.intended_use.statement", export.intended_use.statement.is_empty()),
        ])
    }
}
