//! The tables of docs/METRICS.md, from what was declared.

use super::declare::Family;
use prometheus::proto::MetricFamily;
use std::collections::{BTreeMap, BTreeSet};

/// Values of labels by family and label, as far as there are series.
type Values = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// A row for each family, and the buckets of the histograms. `at_start` are the series that a new process has: those of closed sets.
pub(super) fn tables(families: &[&Family], at_start: &[MetricFamily]) -> String {
    let values = values(at_start);
    let mut text = String::from("| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n");
    for family in families {
        let labels: Vec<String> =
            family.labels.iter().map(|label| described(label, values.get(family.name))).collect();
        let labels = labels.join("; ");
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

/// A label with the values that it has from the start. One with a single value has others as well: it is a name or a version.
fn described(label: &str, values: Option<&BTreeMap<String, BTreeSet<String>>>) -> String {
    let values = values.and_then(|labels| labels.get(label)).filter(|values| values.len() > 1);
    let listed = values.map(|values| values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>());
    listed.map_or_else(|| format!("`{label}`"), |listed| format!("`{label}`: {}", listed.join(", ")))
}

fn values(gathered: &[MetricFamily]) -> Values {
    let mut values = Values::new();
    for family in gathered {
        for pair in family.get_metric().iter().flat_map(prometheus::proto::Metric::get_label) {
            let of_family = values.entry(family.name().to_owned()).or_default();
            of_family.entry(pair.name().to_owned()).or_default().insert(pair.value().to_owned());
        }
    }
    values
}
