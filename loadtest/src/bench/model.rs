//! The models to measure: bundles by name, and their variants.

use anyhow::{Context, Result, bail, ensure};
use cxr::bundle::{Bundle, Trust};
use std::path::{Path, PathBuf};
use std::str::FromStr;

const DEFAULT: &str = "models/default";
/// Where `make bench-models` puts the others.
const BUILT: &str = "target/bench/models";

/// `NAME=DIRECTORY` or `NAME=DIRECTORY:VARIANT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelArg {
    name: String,
    directory: PathBuf,
    variant: Option<String>,
}

impl FromStr for ModelArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let advice = || format!("{text:?} is not NAME=DIRECTORY or NAME=DIRECTORY:VARIANT");
        let (name, rest) = text.split_once('=').ok_or_else(advice)?;
        let (directory, variant) = match rest.rsplit_once(':') {
            Some((directory, variant)) => (directory, Some(variant.to_owned())),
            None => (rest, None),
        };
        if name.is_empty() || directory.is_empty() || variant.as_deref() == Some("") {
            return Err(advice());
        }
        Ok(Self { name: name.to_owned(), directory: directory.into(), variant })
    }
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) directory: PathBuf,
    pub(super) variant: String,
    pub(super) precision: String,
    pub(super) clahe: bool,
    /// The fp32 graph, for the peer.
    pub(super) fp32_file: PathBuf,
}

impl Model {
    /// The given models, or all variants of the default bundle and of the bundles from `make bench-models`.
    pub(super) fn all(asked: &[ModelArg]) -> Result<Vec<Self>> {
        if !asked.is_empty() {
            let models: Vec<Vec<Self>> = asked.iter().map(Self::of).collect::<Result<_>>()?;
            return Ok(models.concat());
        }
        let mut models = vec![("default".to_owned(), PathBuf::from(DEFAULT))];
        if let Ok(entries) = std::fs::read_dir(BUILT) {
            let mut built: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            built.retain(|path| path.join(cxr::bundle::MANIFEST).exists());
            built.sort();
            let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            models.extend(built.into_iter().map(|path| (name(&path), path)));
        }
        let of = |(name, directory)| Self::of(&ModelArg { name, directory, variant: None });
        Ok(models.into_iter().map(of).collect::<Result<Vec<_>>>()?.concat())
    }

    fn of(model: &ModelArg) -> Result<Vec<Self>> {
        let bundle = open(&model.directory)?;
        let manifest = bundle.manifest();
        let Some(fp32) = manifest.variants.values().find(|variant| variant.precision == "fp32") else {
            bail!("{}: no variant in fp32, which the peer needs", model.directory.display());
        };
        let mut names: Vec<&String> = manifest.variants.keys().collect();
        // fp32 comes first in the tables.
        names.sort_by_key(|name| manifest.variants[*name].precision != "fp32");
        if let Some(wanted) = &model.variant {
            let known = format!("{names:?}");
            names.retain(|name| *name == wanted);
            let directory = model.directory.display();
            ensure!(!names.is_empty(), "{directory}: no variant {wanted:?}; there are {known}");
        }
        let variant = |name: &String| Self {
            name: model.name.clone(),
            directory: model.directory.clone(),
            variant: name.clone(),
            precision: manifest.variants[name].precision.clone(),
            clahe: manifest.preprocess.clahe.is_some(),
            fp32_file: model.directory.join(&fp32.file),
        };
        Ok(names.into_iter().map(variant).collect())
    }

    pub(super) fn database(&self, prefix: &str) -> String {
        format!("{prefix}_{}_{}", self.name, self.precision).replace(|c: char| !c.is_alphanumeric(), "_")
    }

    /// `densenet121 int8`.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.name, self.precision)
    }
}

/// Opens a bundle without checking its signature, since it answers no clients.
pub(super) fn open(directory: &Path) -> Result<Bundle> {
    Bundle::open(|file| std::fs::read(directory.join(file)), &Trust::Unsigned)
        .with_context(|| format!("the bundle {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_parsed() {
        let found: ModelArg = "densenet121=/a/b:int8".parse().unwrap();
        assert_eq!((found.name.as_str(), found.variant.as_deref()), ("densenet121", Some("int8")));
        assert_eq!("x=models/default".parse::<ModelArg>().unwrap().variant, None);
        for wrong in ["x", "=a", "x=", "x=a:"] {
            assert!(wrong.parse::<ModelArg>().is_err(), "{wrong}");
        }
    }
}
