//! Compares the configuration of a run with the frozen one.

use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// Path below `trainer`.
    key: String,
    then: Option<Value>,
    now: Option<Value>,
}

impl Change {
    /// Whether the division into folds depends on the key.
    pub(crate) fn affects_folds(&self) -> bool {
        let section = self.key.split('.').next().unwrap_or_default();
        ["seed", "data", "acceptance"].contains(&section)
    }
}

/// Changes from the YAML file to the YAML text; none if there is no file.
pub(crate) fn changes(file: &Path, text: &str) -> Result<Option<Vec<Change>>> {
    if !file.exists() {
        return Ok(None);
    }
    let name = || format!("{}: cannot be read as a configuration", file.display());
    let then: Value =
        serde_yaml_ng::from_slice(&std::fs::read(file).with_context(name)?).with_context(name)?;
    Ok(Some(differences(&then, &serde_yaml_ng::from_str(text)?)))
}

pub(crate) fn differences(then: &Value, now: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", Some(then), Some(now), &mut changes);
    changes
}

fn compare(key: &str, then: Option<&Value>, now: Option<&Value>, changes: &mut Vec<Change>) {
    if then == now {
        return;
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (then, now) {
        let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
        for (name, value) in old {
            compare(&below(name), Some(value), new.get(name), changes);
        }
        for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
            compare(&below(name), None, Some(value), changes);
        }
        return;
    }
    changes.push(Change { key: key.to_owned(), then: then.cloned(), now: now.cloned() });
}

pub(crate) fn listed(changes: &[Change]) -> String {
    let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "not set".to_owned(), Value::to_string);
    let line = |change: &Change| {
        format!("  trainer.{}: was {}, now {}", change.key, shown(&change.then), shown(&change.now))
    };
    changes.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_differs_is_named_with_both_values() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        assert_eq!(changes(&file, "a: 1").unwrap(), None);
        std::fs::write(&file, "seed: 1\ndata: { name: x, classes: { A: negative } }\ngone: 2\n").unwrap();
        let now = "seed: 1\ndata: { name: y, classes: { A: negative, B: positive } }\nnew: [1, 2]\n";
        let found = changes(&file, now).unwrap().unwrap();
        assert_eq!(
            listed(&found),
            "  trainer.data.classes.B: was not set, now \"positive\"\n  trainer.data.name: was \"x\", now \"y\"\n  trainer.gone: was 2, now not set\n  trainer.new: was not set, now [1,2]"
        );
        assert_eq!(found.iter().filter(|change| change.affects_folds()).count(), 2);
        assert_eq!(changes(&file, &std::fs::read_to_string(&file).unwrap()).unwrap(), Some(Vec::new()));
    }
}
