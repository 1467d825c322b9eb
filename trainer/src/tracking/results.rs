//! Results in a run directory, as artefacts and metrics.

use super::event::Number;
use super::privacy::may_name_a_metric;
use crate::progress::say;
use anyhow::{Context, Result};
use cxr::bundle::sha256_hex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const EXTENSIONS: [&str; 7] = ["json", "yaml", "csv", "svg", "png", "md", "jsonl"];
/// Larger files are not results.
const MAX_BYTES: u64 = 32 << 20;

/// `name` is the path below the run directory.
#[derive(Debug)]
pub(super) struct ResultFile {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) sha256: String,
    /// Modification time, milliseconds since 1970.
    pub(super) time_ms: i64,
    bytes: Vec<u8>,
}

impl ResultFile {
    /// Every object with a number `value`, and its bounds where it has `ci95`. Names start with the file's
    /// name.
    pub(super) fn figures(&self) -> BTreeMap<String, Number> {
        let mut figures = BTreeMap::new();
        if let Some(stem) = self.name.strip_suffix(".json")
            && let Ok(tree) = serde_json::from_slice(&self.bytes)
        {
            collect(&tree, stem, &mut figures);
        }
        figures
    }
}

fn collect(tree: &Value, path: &str, figures: &mut BTreeMap<String, Number>) {
    let mut figure = |path: &str, value: &Value| {
        value.as_f64().map(|value| figures.insert(metric_name(path), Number(value))).is_some()
    };
    if tree.get("value").is_some_and(|value| figure(path, value)) {
        for (suffix, at) in [("low", 0), ("high", 1)] {
            figure(&format!("{path}_{suffix}"), &tree["ci95"][at]);
        }
        return;
    }
    match tree {
        Value::Object(entries) => {
            let entries = entries.iter().filter(|(key, _)| may_name_a_metric(key));
            entries.for_each(|(key, value)| collect(value, &format!("{path}/{key}"), figures));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| collect(item, &format!("{path}/{at}"), figures));
        }
        _ => {}
    }
}

/// MLflow accepts letters, digits and `_-. :/`.
fn metric_name(path: &str) -> String {
    path.chars().map(|c| if c.is_ascii_alphanumeric() || "_-. :/".contains(c) { c } else { '_' }).collect()
}

/// The results in a run directory and in its folder `figures`, sorted by name.
pub(super) fn scan(run_folder: &Path) -> Result<Vec<ResultFile>> {
    let mut found = Vec::new();
    for folder in ["", "figures"] {
        let path = run_folder.join(folder);
        if !path.is_dir() {
            continue;
        }
        let entries =
            std::fs::read_dir(&path).with_context(|| format!("{}: cannot be listed", path.display()))?;
        for entry in entries {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            if !EXTENSIONS.contains(&extension) || !path.is_file() {
                continue;
            }
            let metadata = path.metadata()?;
            if metadata.len() > MAX_BYTES {
                say(format!("tracking: {} is larger than {MAX_BYTES} bytes: not tracked", path.display()));
                continue;
            }
            let name = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            let bytes =
                std::fs::read(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
            let time_ms = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as i64);
            found.push(ResultFile { name, sha256: sha256_hex(&bytes), path, time_ms, bytes });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_found_at_any_depth() {
        let tree = json!({
            "threshold": 0.3,
            "figures": { "auc": { "value": 0.97, "ci95": [0.95, 0.98], "n": 600 } },
            "by size (px)": [{ "value": 1.0 }],
            "images": { "NORMAL/a.png": { "value": 0.1 }, "a.png": { "value": 0.1 } },
        });
        let mut figures = BTreeMap::new();
        collect(&tree, "evaluation-test", &mut figures);
        let figures: Vec<_> = figures.iter().map(|(name, Number(value))| (name.as_str(), *value)).collect();
        let expected = [
            ("evaluation-test/by size _px_/0", 1.0),
            ("evaluation-test/figures/auc", 0.97),
            ("evaluation-test/figures/auc_high", 0.98),
            ("evaluation-test/figures/auc_low", 0.95),
        ];
        assert_eq!(figures, expected);
    }
}
