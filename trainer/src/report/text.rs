//! How figures are written.

use cxr::analysis::scoring::proportion::Proportion;
use cxr::analysis::summary::Summary;
use cxr::bundle::Measured;

/// What follows a figure without the images it would need.
const NONE: &str = "none: the images do not allow it";

/// Point estimate with its 95 % interval.
pub(super) fn measured(figure: &Measured) -> String {
    let [low, high] = figure.ci95;
    format!("{:.4} [{low:.4}, {high:.4}]", figure.value)
}

/// The same with the number of images behind it.
pub(super) fn measured_n(figure: &Measured) -> String {
    format!("{}, n {}", measured(figure), figure.n)
}

/// The same, of a figure that may not exist.
pub(super) fn optional(figure: Option<&Measured>) -> String {
    figure.map_or_else(|| NONE.to_owned(), measured)
}

/// Counts, share and interval.
pub(super) fn proportion(found: &Proportion) -> String {
    let [low, high] = found.ci95;
    format!("{} of {} ({:.3} [{low:.3}, {high:.3}])", found.k, found.n, found.value)
}

/// The same, of a share that may not exist.
pub(super) fn optional_proportion(found: Option<&Proportion>) -> String {
    found.map_or_else(|| NONE.to_owned(), proportion)
}

/// Range and middle of a distribution.
pub(super) fn range(summary: &Summary, digits: usize) -> String {
    let Summary { min, median, max, .. } = summary;
    format!("{min:.digits$} to {max:.digits$}, median {median:.digits$}")
}

/// Names with their numbers, in order.
pub(super) fn counts<K: std::fmt::Display, V: std::fmt::Display>(
    entries: impl IntoIterator<Item = (K, V)>,
) -> String {
    let texts: Vec<String> = entries.into_iter().map(|(key, value)| format!("{key} {value}")).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

/// A value of the configuration the way a file writes it: `mobilenetv2-expanded`, `bf16`.
pub(super) fn key(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}
