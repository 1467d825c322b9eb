//! The layers of the configuration: config/default.yaml, which is part of the program, and files over it, the later one over the earlier.
//! A file that cannot be what its writer meant (no section `trainer`, a misspelt key) is refused by its name.

use anyhow::{Context, Result, anyhow, bail};
use config::{File, FileFormat};
use serde::de::DeserializeOwned;
use serde_yaml_ng::Value;
use std::path::{Path, PathBuf};

/// The section that the trainer reads.
const ROOT: &str = "trainer";
/// Sections of a file: the trainer's, and the service's where one file serves both programs.
const SECTIONS: [&str; 2] = [ROOT, "service"];
const DEFAULT: &str = include_str!("../../../config/default.yaml");

/// One file over the default.
struct Layer<'a> {
    path: &'a Path,
    text: String,
    tree: Value,
}

/// The section `trainer` of all layers.
///
/// # Errors
/// Names the file, and the key with its nearest known name where one is unknown.
pub(super) fn read<T: DeserializeOwned>(files: &[PathBuf]) -> Result<T> {
    let layers = files.iter().map(|file| Layer::read(file)).collect::<Result<Vec<_>>>()?;
    let yaml = |text: &str| File::from_str(text, FileFormat::Yaml);
    let mut builder = config::Config::builder().add_source(yaml(DEFAULT));
    for layer in &layers {
        builder = builder.add_source(yaml(&layer.text));
    }
    let merged: config::Value = builder.build().and_then(|all| all.get(ROOT)).context("the configuration")?;
    serde_path_to_error::deserialize(merged).map_err(|error| {
        let key = error.path().to_string();
        let file = layers.iter().rev().find(|layer| layer.sets(&key));
        let place = file.map_or_else(String::new, |layer| format!("{}: ", layer.path.display()));
        anyhow!("{place}{ROOT}.{key}: {}", in_words(&error.inner().to_string()))
    })
}

impl<'a> Layer<'a> {
    fn read(path: &'a Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let tree: Value =
            serde_yaml_ng::from_str(&text).with_context(|| format!("{}: not YAML", path.display()))?;
        let layer = Self { path, text, tree };
        layer.check_sections()?;
        Ok(layer)
    }

    fn check_sections(&self) -> Result<()> {
        const ADVICE: &str =
            "write all keys of the trainer under one key `trainer:` (config/default.yaml lists them)";
        let file = self.path.display();
        let Some(sections) = self.tree.as_mapping() else {
            bail!("{file}: is empty or has no keys; {ADVICE}");
        };
        for name in sections.keys().map(|name| name.as_str().unwrap_or_default()) {
            if !SECTIONS.contains(&name) {
                let meant = nearest(name, SECTIONS)
                    .map_or_else(String::new, |meant| format!(", did you mean `{meant}`?"));
                bail!("{file}: unknown section `{name}`{meant}; {ADVICE}");
            }
        }
        match self.tree.get(ROOT) {
            Some(Value::Mapping(_)) => Ok(()),
            Some(_) => bail!("{file}: the section `{ROOT}` has no keys"),
            None => bail!("{file}: has no section `{ROOT}`; {ADVICE}"),
        }
    }

    /// Whether this file says something at this path below `trainer`.
    fn sets(&self, key: &str) -> bool {
        let found = key.split('.').try_fold(&self.tree[ROOT], |node, name| node.get(name));
        found.is_some()
    }
}

/// What serde says, in the words of a reader of YAML.
fn in_words(message: &str) -> String {
    let Some((unknown, known)) =
        message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'))
    else {
        return message.to_owned();
    };
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    match nearest(unknown, known.iter().copied()) {
        Some(meant) => format!("unknown key `{unknown}`, did you mean `{meant}`?"),
        None => format!("unknown key `{unknown}`; the keys here are {}", known.join(", ")),
    }
}

/// The known name that a misspelt one probably means.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let close =
        known.into_iter().map(|known| (strsim::damerau_levenshtein(&name, &known.to_lowercase()), known));
    close.min().filter(|(distance, known)| *distance * 2 <= known.len()).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_proposed_and_a_far_one_is_not() {
        assert_eq!(nearest("trainr", SECTIONS), Some("trainer"));
        assert_eq!(nearest("Trainer", SECTIONS), Some("trainer"));
        assert_eq!(nearest("data", SECTIONS), None);
    }
}
