//! The tables of docs/METRICS.md, from the declarations.

use super::declare::Family;
use std::collections::{BTreeMap, BTreeSet};

/// Values of labels by family and label, from the series that exist.
type Values = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// A row per family and histogram. `at_start` is the exposition of a new process: its series are those of
/// closed sets.
pub(super) fn tables(families: &[&Family], at_start: &str) -> String {
    let values = values(at_start);
    let mut text = String::from("| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n");
    for family in families {
        let labels = family.labels.iter().map(|label| described(label, values.get(family.name)));
        let labels = labels.collect::<Vec<_>>().join("; ");
        let row = format!("| `{}` | {} | {labels} | {} |\n", family.name, family.kind, family.help);
        text.push_str(&row);
    }
    text.push_str("\n| Histogram | Upper bounds of its buckets, beside `+Inf` |\n|---|---|\n");
    for family in families.iter().filter(|family| !family.buckets.is_empty()) {
        let bounds: Vec<String> = family.buckets.iter().map(ToString::to_string).collect();
        let row = format!("| `{}` | {} |\n", family.name, bounds.join(", "));
        text.push_str(&row);
    }
    text.truncate(text.trim_end().len());
    text
}

/// A label with its values at the start. A single value, a name or a version, is omitted: others follow.
fn described(label: &str, values: Option<&BTreeMap<String, BTreeSet<String>>>) -> String {
    let values = values.and_then(|labels| labels.get(label)).filter(|values| values.len() > 1);
    let listed = values.map(|values| values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>());
    listed.map_or_else(|| format!("`{label}`"), |listed| format!("`{label}`: {}", listed.join(", ")))
}

/// The label values of an exposition. Values of closed sets need no escapes.
fn values(exposition: &str) -> Values {
    let mut values = Values::new();
    let series = exposition.lines().filter(|line| !line.starts_with('#'));
    for (name, labels) in series.filter_map(|line| line.split_once('{')) {
        let of_family = values.entry(name.trim_end_matches("_count").to_owned()).or_default();
        let labels = labels.split_once('}').map_or(labels, |(labels, _)| labels);
        for (label, value) in labels.split(',').filter_map(|pair| pair.split_once('=')) {
            of_family.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
        }
    }
    values
}
