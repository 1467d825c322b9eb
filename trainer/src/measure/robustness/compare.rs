//! A comparison of several models, each from its own `robustness.json`.

use super::{FILE, Robustness};
use crate::markdown::measured;
use crate::progress::say;
use crate::run::CONFIG;
use anyhow::{Context, Result, ensure};
use cxr::bundle::Measured;
use serde::{Deserialize, Serialize};
use serde_yaml_ng::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub const COMPARISON: &str = "robustness-comparison.json";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparedRun {
    pub subject: String,
    pub weights_sha256: String,
    /// Values of the frozen configuration that differ from the first model's; empty for a bundle.
    pub differences: BTreeMap<String, String>,
    pub clean_auc: Measured,
    /// Mean over the corruptions; `None` if they were not measured.
    pub corrupted_auc: Option<Measured>,
    pub corrupted_log_loss: Option<Measured>,
}

pub fn compare(folders: &[PathBuf]) -> Result<Vec<ComparedRun>> {
    let read = |folder: &PathBuf| {
        Robustness::load(folder)?.with_context(|| {
            format!("{}: not found; run `cxr-trainer robustness` first", folder.join(FILE).display())
        })
    };
    let conditions = |result: &Robustness| {
        let severities = result.corruptions.as_ref().map(|suite| suite.severities.clone());
        (result.n, result.n_positive, severities)
    };
    let Some(first) = folders.first() else { return Ok(Vec::new()) };
    let (first_conditions, first_keys) = (conditions(&read(first)?), keys(first)?);
    let mut rows = Vec::new();
    for folder in folders {
        let result = read(folder)?;
        ensure!(
            conditions(&result) == first_conditions,
            "{}: measured on other images or severities than {}",
            folder.display(),
            first.display()
        );
        let mut differences = keys(folder)?;
        // A bundle has no configuration to compare with.
        if !differences.is_empty() {
            for key in first_keys.keys() {
                differences.entry(key.clone()).or_insert_with(|| "absent".to_owned());
            }
        }
        differences.retain(|key, value| first_keys.get(key) != Some(value));
        let suite = result.corruptions.as_ref();
        rows.push(ComparedRun {
            subject: result.subject,
            weights_sha256: result.weights_sha256,
            differences,
            clean_auc: result.clean.auc,
            corrupted_auc: suite.map(|suite| suite.mean_auc),
            corrupted_log_loss: suite.map(|suite| suite.mean_log_loss),
        });
    }
    print(&rows);
    Ok(rows)
}

fn print(rows: &[ComparedRun]) {
    say(format!("{:<24} {:>8} {:>24} {:>10}  differs in", "run", "AUC", "corrupted AUC", "log loss"));
    for row in rows {
        let area = row.corrupted_auc.map_or("not measured".to_owned(), |auc| measured(&auc));
        let loss = row.corrupted_log_loss.map_or(String::new(), |m| format!("{:.4}", m.value));
        let differences: Vec<String> =
            row.differences.iter().map(|(key, value)| format!("{key} {value}")).collect();
        let differences = differences.join(", ");
        say(format!("{:<24} {:>8.4} {area:>24} {loss:>10}  {differences}", row.subject, row.clean_auc.value));
    }
}

fn keys(folder: &Path) -> Result<BTreeMap<String, String>> {
    let file = folder.join(CONFIG);
    let mut found = BTreeMap::new();
    if file.exists() {
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
        let value: Value =
            serde_yaml_ng::from_str(&text).with_context(|| format!("{}: not valid YAML", file.display()))?;
        flatten("", &value, &mut found)?;
    }
    Ok(found)
}

fn flatten(path: &str, value: &Value, found: &mut BTreeMap<String, String>) -> Result<()> {
    let Value::Mapping(mapping) = value else {
        found.insert(path.to_owned(), serde_json::to_string(value)?);
        return Ok(());
    };
    for (key, value) in mapping {
        let key = key.as_str().unwrap_or_default();
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        flatten(&path, value, found)?;
    }
    Ok(())
}
