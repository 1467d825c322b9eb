//! Counts of images and patients, by part of the data and class folder.

use crate::data::entry::Entry;
use crate::progress::say;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    pub images: usize,
    pub patients: usize,
}

/// By part of the data and class folder.
pub type CountTable<K> = BTreeMap<K, BTreeMap<String, Count>>;

#[derive(Debug, Default)]
pub(super) struct Tally<'a> {
    images: usize,
    patients: BTreeSet<&'a str>,
}

impl<'a> Tally<'a> {
    pub(super) fn add(&mut self, entry: &'a Entry) {
        self.images += 1;
        self.patients.insert(&entry.patient);
    }

    pub(super) fn count(&self) -> Count {
        Count { images: self.images, patients: self.patients.len() }
    }
}

pub fn count<'a, K: Ord>(parts: impl IntoIterator<Item = (K, &'a Entry)>) -> CountTable<K> {
    let mut tallies: BTreeMap<K, BTreeMap<String, Tally>> = BTreeMap::new();
    for (part, entry) in parts {
        tallies.entry(part).or_default().entry(entry.class.clone()).or_default().add(entry);
    }
    let counts = |tallies: BTreeMap<String, Tally>| {
        tallies.into_iter().map(|(class, tally)| (class, tally.count())).collect()
    };
    tallies.into_iter().map(|(part, tallies)| (part, counts(tallies))).collect()
}

pub fn print<K>(table: &CountTable<K>, name: impl Fn(&K) -> &str) {
    for (part, classes) in table {
        let n: usize = classes.values().map(|count| count.images).sum();
        let of_class =
            |(class, c): (&String, &Count)| format!("{class} {} of {} patients", c.images, c.patients);
        let classes = classes.iter().map(of_class).collect::<Vec<_>>().join(", ");
        say(format!("  {:<10} {n:>6} images: {classes}", name(part)));
    }
}

/// Such as "png 110, jpeg 3".
pub(crate) fn listed<K: Display>(counts: &BTreeMap<K, usize>) -> String {
    counts.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
}
