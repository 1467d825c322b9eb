//! Which files and values may leave the run directory. By default, nothing with patient-level data may.

use serde_json::Value;

/// Results without patient-level data. Files that are not listed stay in the run directory.
const SHARED: [&str; 13] = [
    "bench.json",
    "bench-training.json",
    "config.yaml",
    "curves.svg",
    "environment.json",
    "evaluation-calibrate.json",
    "evaluation-select.json",
    "evaluation-test.json",
    "fitness.json",
    "metrics.csv",
    "release.json",
    "robustness-comparison.json",
    "robustness.json",
];

pub(super) fn is_patient_level(name: &str) -> bool {
    let is_chart = name.strip_prefix("figures/").is_some_and(|file| {
        !file.contains('/') && file.rsplit_once('.').is_some_and(|(_, end)| end == "svg")
    });
    !is_chart && !SHARED.contains(&name)
}

pub(super) fn withheld_message(name: &str) -> String {
    format!(
        "{name} stays in the run directory: it may hold patient-level data (trainer.tracking.patient_level)"
    )
}

/// Whether a JSON key may become part of a metric's name: names of files and folders may not.
pub(super) fn may_name_a_metric(key: &str) -> bool {
    let is_path = key.contains(['/', '\\']);
    let has_extension = key.rsplit_once('.').is_some_and(|(stem, end)| {
        !stem.is_empty() && (2..=5).contains(&end.len()) && end.chars().all(|c| c.is_ascii_alphabetic())
    });
    !is_path && !has_extension
}

/// Paths may contain the name of a patient or an operator, so they are replaced.
pub(super) fn redact(text: &str) -> &str {
    let starts = ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start));
    let is_path =
        starts || text.contains('/') && !text.contains("://") && !text.contains(char::is_whitespace);
    if is_path { "a folder or file of this machine" } else { text }
}

pub(super) fn redact_paths(tree: &mut Value) {
    match tree {
        Value::String(text) => *text = redact(text).to_owned(),
        Value::Array(items) => items.iter_mut().for_each(redact_paths),
        Value::Object(entries) => entries.values_mut().for_each(redact_paths),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlisted_results_are_withheld() {
        let withheld = "folds.json worst-test.csv scores-select.csv eda.json figures/worst-test.png figures/a/b.svg \
            surprise.json explain.json calibration.json";
        for name in withheld.split(' ') {
            assert!(is_patient_level(name), "{name}");
        }
        for name in ["metrics.csv", "evaluation-test.json", "figures/roc-pr-test.svg"] {
            assert!(!is_patient_level(name), "{name}");
        }
    }

    #[test]
    fn paths_are_distinguished_from_words() {
        for path in ["/data/Meier", "../shared/data", "runs/mlruns", "./a b", "~/x"] {
            assert_ne!(redact(path), path);
        }
        for text in ["https://mlflow.example/a", "adam", "read and/or reported", "^case-([0-9]+)", "1.0.0"] {
            assert_eq!(redact(text), text);
        }
        for key in ["NORMAL/a.png", "a.jpeg", "a\\b"] {
            assert!(!may_name_a_metric(key), "{key}");
        }
        for key in ["by size (px)", "gaussian_noise", "0.05", "auc"] {
            assert!(may_name_a_metric(key), "{key}");
        }
    }
}
