//! The configuration as one typed tree: the section `trainer` of config/default.yaml, then each --config
//! file, then the command line; later values override earlier ones. config/default.yaml explains every key.

pub mod augmentation;
pub mod calibration;
pub mod data;
pub mod evaluation;
pub mod export;
pub mod gates;
mod layers;
pub mod model;
pub mod provenance;
pub mod robustness;
pub mod screening;
pub mod tracking;
pub mod training;
pub mod tune;

pub use augmentation::Augmentation;
pub use calibration::Calibration;
pub use data::Data;
pub use evaluation::Evaluation;
pub use export::Export;
pub use gates::Gates;
pub(crate) use layers::did_you_mean;
pub use model::Model;
pub use provenance::Provenance;
pub use robustness::Robustness;
pub use screening::Screening;
pub use tracking::Tracking;
pub use training::Training;
pub use tune::Tune;

use anyhow::{Result, ensure};
use cxr::{AcceptancePolicy, PreprocessSpec};
use data::Label;
use serde::{Deserialize, Deserializer, Serialize};
use std::path::{Path, PathBuf};

/// Names of the classes if several class folders count as the same label.
const UNNAMED: [&str; 2] = ["NEGATIVE", "POSITIVE"];

/// Folder of data and weights in the configurations in config/.
pub const DATA_FOLDER: &str = "../shared/data";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub seed: u64,
    pub data: Data,
    pub audit: Screening,
    pub acceptance: AcceptancePolicy,
    pub preprocess: PreprocessSpec,
    pub model: Model,
    pub training: Training,
    pub augmentation: Augmentation,
    pub stored_jpeg_quality: Option<u8>,
    pub calibration: Calibration,
    pub evaluation: Evaluation,
    pub robustness: Robustness,
    pub export: Export,
    pub tracking: Tracking,
    pub tune: Tune,
    pub provenance: Provenance,
    pub gates: Gates,
}

/// The keys that the weights depend on. They must not change once a run has weights. Keys of these sections
/// on which no weight depends, such as the folders of this machine, are blank.
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
    /// Reads the section `trainer` of config/default.yaml and of `files`; a later file overrides an earlier
    /// one. `data_folder` replaces [`DATA_FOLDER`] in every path.
    pub fn load(files: &[PathBuf], data_folder: Option<&Path>) -> Result<Self> {
        let mut config = layers::read(files)?;
        if let Some(folder) = data_folder {
            let paths = [
                Some(&mut config.data.root),
                config.data.table.as_mut(),
                config.model.weights.as_mut(),
                config.export.originals.as_mut(),
                config.calibration.ood_images.as_mut(),
                config.evaluation.external.as_mut().map(|external| &mut external.root),
            ];
            for path in paths.into_iter().flatten() {
                if let Ok(rest) = path.strip_prefix(DATA_FOLDER) {
                    *path = folder.join(rest);
                }
            }
        }
        config.tracking = config.tracking.named_after(&config.export.name);
        config.check().map_err(|error| layers::with_file(files, &error))?;
        Ok(config)
    }

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

    /// Preprocessing of the images that are scored after training, in the service too. If the training images
    /// are JPEG files of the model's size, it compresses other images in the same way.
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

    /// Names of the classes in answers, negative first. Default: the only class folder with that label.
    pub fn labels(&self) -> [String; 2] {
        let name = |wanted: Label, unnamed: &str| {
            let mut folders = self.data.classes.iter().filter(|(_, label)| **label == wanted);
            match (folders.next(), folders.next()) {
                (Some((only, _)), None) => only.to_ascii_uppercase(),
                _ => unnamed.to_owned(),
            }
        };
        let names = || [name(Label::Negative, UNNAMED[0]), name(Label::Positive, UNNAMED[1])];
        self.export.labels.clone().unwrap_or_else(names)
    }

    /// SHA-256 of all bounds that the verdict applies.
    pub fn gates_digest(&self) -> Result<String> {
        let bounds = (&self.gates, self.calibration.target_sensitivity);
        Ok(cxr::bundle::sha256_hex(&serde_json::to_vec(&bounds)?))
    }

    /// Checks the keys without a default that every command on data needs.
    pub fn check_for_data(&self) -> Result<()> {
        require(&[
            ("trainer.data.root (or --data)", self.data.root.as_os_str().is_empty()),
            ("trainer.data.name", self.data.name.is_empty()),
            ("trainer.data.classes", self.data.classes.is_empty()),
        ])
    }

    /// Checks the keys without a default that a bundle needs.
    pub fn check_for_bundle(&self) -> Result<()> {
        let export = &self.export;
        require(&[
            ("trainer.export.name", export.name.is_empty()),
            ("trainer.export.intended_use.statement", export.intended_use.statement.is_empty()),
        ])
    }
}

/// Reads null as the default, which means "not stated".
fn unstated<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn require(keys: &[(&str, bool)]) -> Result<()> {
    let missing: Vec<&str> = keys.iter().filter(|(_, is_missing)| *is_missing).map(|(key, _)| *key).collect();
    ensure!(
        missing.is_empty(),
        "the configuration does not set {}; `cxr-trainer init FOLDER` writes one for your data, pass it with --config",
        missing.join(", ")
    );
    Ok(())
}

fn check_fraction(key: &str, value: f64) -> Result<()> {
    ensure!((0.0..1.0).contains(&value), "trainer.{key}: {value} is not in [0, 1)");
    Ok(())
}
