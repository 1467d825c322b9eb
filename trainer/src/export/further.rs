//! What else was measured of a run's weights: every figure in the result files of the run directory that carry the
//! weights' digest, whichever command wrote them.

use crate::trained::TrainedRun;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt;

/// More figures of one file than this stand in the technical report alone.
const MAX_SHOWN: usize = 30;

/// The figures of one result file.
#[derive(Debug)]
pub(super) struct Measurements {
    /// The file's name without its extension.
    title: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    value: f64,
    ci95: Option<(f64, f64)>,
    n: Option<u64>,
}

/// The figures of every result about these weights but the evaluations, which the manifest holds.
///
/// # Errors
/// Names what cannot be read.
pub(super) fn measurements(trained: &TrainedRun) -> Result<Vec<Measurements>> {
    let folder = trained.run.file("");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("{}: cannot be listed", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let file = entry?.path();
        let Some(title) = file.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")) else {
            continue;
        };
        if title.starts_with("evaluation-") {
            continue;
        }
        let bytes = std::fs::read(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
        let Ok(tree) = serde_json::from_slice::<Value>(&bytes) else { continue };
        let mut rows = Vec::new();
        if tree["weights_sha256"] == trained.weights_sha256.as_str() {
            collect(&tree, String::new(), &mut rows);
        }
        if !rows.is_empty() {
            found.push(Measurements { title: title.to_owned(), rows });
        }
    }
    found.sort_by(|a, b| a.title.cmp(&b.title));
    Ok(found)
}

fn collect(tree: &Value, path: String, rows: &mut Vec<Row>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}, {key}") };
    match (tree, tree.get("value").and_then(Value::as_f64)) {
        (_, Some(value)) => {
            let bound = |at: usize| tree["ci95"][at].as_f64();
            rows.push(Row { name: path, value, ci95: bound(0).zip(bound(1)), n: tree["n"].as_u64() });
        }
        (Value::Object(entries), None) => {
            entries.iter().for_each(|(key, value)| collect(value, below(key), rows));
        }
        (Value::Array(items), None) => {
            items.iter().zip(1..).for_each(|(item, at)| collect(item, below(&format!("{at}")), rows));
        }
        _ => {}
    }
}

impl fmt::Display for Measurements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} | value | 95 % interval | n |\n|---|---|---|---|", self.title)?;
        for Row { name, value, ci95, n } in self.rows.iter().take(MAX_SHOWN) {
            let interval =
                ci95.map_or("not measured".to_owned(), |(low, high)| format!("{low:.4} to {high:.4}"));
            let n = n.map_or_else(String::new, |n| n.to_string());
            writeln!(f, "| {name} | {value:.4} | {interval} | {n} |")?;
        }
        let n_more = self.rows.len().saturating_sub(MAX_SHOWN);
        if n_more > 0 {
            writeln!(f, "\n{n_more} more are in the technical report.")?;
        }
        writeln!(f)
    }
}
