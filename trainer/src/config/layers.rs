//! The layers of the configuration: config/default.yaml and --config files. Errors name file and key.

use super::Config;
use anyhow::{Context, Result, anyhow, bail};
use config::{File, FileFormat};
use serde_yaml_ng::Value;
use std::path::{Path, PathBuf};

const ROOT: &str = "trainer";
/// A file may configure the trainer and the service.
const SECTIONS: [&str; 2] = [ROOT, "service"];
/// Start of serde's message about a name that is not a variant.
const VARIANT: &str = "unknown variant `";
const DEFAULT: &str = include_str!("../../../config/default.yaml");

/// A --config file.
struct Layer<'a> {
    path: &'a Path,
    text: String,
    tree: Value,
}

pub(super) fn read(files: &[PathBuf]) -> Result<Config> {
    let layers = files.iter().map(|file| Layer::read(file)).collect::<Result<Vec<_>>>()?;
    let yaml = |text: &str| File::from_str(text, FileFormat::Yaml);
    let mut builder = config::Config::builder().add_source(yaml(DEFAULT));
    for layer in &layers {
        builder = builder.add_source(yaml(&layer.text));
    }
    let merged: config::Value = builder.build().and_then(|all| all.get(ROOT)).context("the configuration")?;
    serde_path_to_error::deserialize(merged.clone()).map_err(|error| {
        let key = error.path().to_string();
        let words = unknown_value(merged, &key).unwrap_or_else(|| error.inner().to_string());
        anyhow!("{}{ROOT}.{key}: {}", place(&layers, &key), in_words(&words))
    })
}

/// Prefixes an error that begins with a key with the file that sets the key.
pub(super) fn with_file(files: &[PathBuf], error: &anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    let layers: Vec<Layer> = files.iter().filter_map(|file| Layer::read(file).ok()).collect();
    let key = text.split(": ").next().and_then(|key| key.strip_prefix(ROOT)?.strip_prefix('.'));
    anyhow!("{}{text}", key.map_or_else(String::new, |key| place(&layers, key)))
}

/// The last file that sets a key, as the prefix of a message; empty if the value is a default.
fn place(layers: &[Layer], key: &str) -> String {
    let file = layers.iter().rev().find(|layer| layer.sets(key));
    file.map_or_else(String::new, |layer| format!("{}: ", layer.path.display()))
}

/// serde_json's message about an unknown variant. It lists the known ones; the message of `config` does not.
fn unknown_value(merged: config::Value, key: &str) -> Option<String> {
    let tree: serde_json::Value = merged.try_deserialize().ok()?;
    let error = serde_path_to_error::deserialize::<_, Config>(tree).err()?;
    let message = error.inner().to_string();
    (error.path().to_string() == key && message.starts_with(VARIANT)).then_some(message)
}

impl<'a> Layer<'a> {
    fn read(path: &'a Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let tree: Value = serde_yaml_ng::from_str(&text).with_context(|| {
            let is_indented = |line: &str| line.trim_start_matches(' ').starts_with('\t');
            let tab = text.lines().position(is_indented).map_or_else(String::new, |at| {
                format!(" (line {} begins with a tab: YAML wants spaces)", at + 1)
            });
            format!("{}: not YAML{tab}", path.display())
        })?;
        let layer = Self { path, text, tree };
        layer.check_sections()?;
        Ok(layer)
    }

    fn check_sections(&self) -> Result<()> {
        const ADVICE: &str =
            "put the keys of the trainer under the key `trainer:` (config/default.yaml lists them)";
        let file = self.path.display();
        let Some(sections) = self.tree.as_mapping() else {
            bail!("{file}: is empty or has no keys; {ADVICE}");
        };
        for name in sections.keys().map(|name| name.as_str().unwrap_or_default()) {
            if !SECTIONS.contains(&name) {
                bail!("{file}: unknown section `{name}`{}; {ADVICE}", did_you_mean(name, SECTIONS));
            }
        }
        match self.tree.get(ROOT) {
            Some(Value::Mapping(_)) => Ok(()),
            Some(_) => bail!("{file}: the section `{ROOT}` has no keys"),
            None => bail!("{file}: has no section `{ROOT}`; {ADVICE}"),
        }
    }

    /// Whether the file sets this path below `trainer`.
    fn sets(&self, key: &str) -> bool {
        // A list counts as a whole: the file that sets `views` sets `views[0]`.
        let mut names = key.split('.').map(|name| name.split('[').next().unwrap_or(name));
        names.try_fold(&self.tree[ROOT], |node, name| node.get(name)).is_some()
    }
}

/// Rewrites serde's message for a person who edits YAML.
fn in_words(message: &str) -> String {
    let named = |prefix: &str| message.strip_prefix(prefix)?.split_once('`');
    let names = |list: &str| -> Vec<String> {
        // `config` appends the section, which is not a candidate.
        let list = list.split(" for key `").next().unwrap_or(list);
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let meant = |name: &str, known: &[String]| did_you_mean(name, known.iter().map(String::as_str));
    if let Some((unknown, known)) = named(VARIANT) {
        let known = names(known);
        return format!("`{unknown}` is not one of {}{}", known.join(", "), meant(unknown, &known));
    }
    let Some((unknown, known)) = named("unknown field `") else { return message.to_owned() };
    let known = names(known);
    match meant(unknown, &known) {
        none if none.is_empty() => format!("unknown key `{unknown}`; the keys here are {}", known.join(", ")),
        meant => format!("unknown key `{unknown}`{meant}"),
    }
}

pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |meant| format!(", did you mean `{meant}`?"))
}

/// The known name closest to a misspelt one, if they differ in at most half of its letters.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
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
