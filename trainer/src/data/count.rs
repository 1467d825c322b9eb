//! Images and patients, counted by part of the data and by class.

use crate::data::entry::Entry;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How many images of how many patients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Images.
    pub images: usize,
    /// Patients, by the index's rule.
    pub patients: usize,
}

/// Counts by part and class folder.
pub type CountTable<K> = BTreeMap<K, BTreeMap<String, Count>>;

/// Counts entries by a part of the data and by class folder.
pub fn count<'a, K: Ord>(parts: impl IntoIterator<Item = (K, &'a Entry)>) -> CountTable<K> {
    let mut patients: BTreeMap<K, BTreeMap<&str, (usize, BTreeSet<&str>)>> = BTreeMap::new();
    for (part, entry) in parts {
        let (images, of_class) = patients.entry(part).or_default().entry(entry.class()).or_default();
        *images += 1;
        of_class.insert(&entry.patient);
    }
    let count = |(images, patients): (usize, BTreeSet<&str>)| Count { images, patients: patients.len() };
    let classes = |classes: BTreeMap<&str, (usize, BTreeSet<&str>)>| {
        classes.into_iter().map(|(class, counted)| (class.to_owned(), count(counted))).collect()
    };
    patients.into_iter().map(|(part, of_part)| (part, classes(of_part))).collect()
}

/// Counts as lines of text, one a part.
pub fn count_lines<'a>(
    table: impl IntoIterator<Item = (&'a str, &'a BTreeMap<String, Count>)>,
) -> Vec<String> {
    let line = |(part, classes): (&str, &BTreeMap<String, Count>)| {
        let n: usize = classes.values().map(|count| count.images).sum();
        let of_class =
            |(class, c): (&String, &Count)| format!("{class} {} of {} patients", c.images, c.patients);
        format!("  {part:<10} {n:>6} images: {}", classes.iter().map(of_class).collect::<Vec<_>>().join(", "))
    };
    table.into_iter().map(line).collect()
}
