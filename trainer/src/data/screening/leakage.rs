//! Leakage: patients or radiographs in two parts of the data that must be independent.

use super::duplicates::{Duplicates, NearPair};
use crate::data::entry::Entry;
use crate::data::index::Index;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leakage {
    /// Paths by patient and part, of patients with images in several parts.
    pub patients: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    pub exact: Vec<Vec<String>>,
    pub near: Vec<NearPair>,
}

impl Leakage {
    /// `part` returns none for an image in no part.
    pub fn of(index: &Index, duplicates: &Duplicates, part: impl Fn(&Entry) -> Option<&'static str>) -> Self {
        let mut patients: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
        let mut part_of: BTreeMap<&str, &'static str> = BTreeMap::new();
        for entry in &index.entries {
            if let Some(part) = part(entry) {
                part_of.insert(&entry.path, part);
                let parts = patients.entry(entry.patient.clone()).or_default();
                parts.entry(part.to_owned()).or_default().push(entry.path.clone());
            }
        }
        patients.retain(|_, parts| parts.len() > 1);
        let crosses = |paths: &[&str]| {
            paths.iter().filter_map(|path| part_of.get(path)).collect::<BTreeSet<_>>().len() > 1
        };
        let exact = duplicates
            .exact
            .iter()
            .filter(|group| crosses(&group.iter().map(String::as_str).collect::<Vec<_>>()));
        let near = duplicates.near.iter().filter(|pair| crosses(&[&pair.first, &pair.second]));
        Self { patients, exact: exact.cloned().collect(), near: near.cloned().collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.patients.is_empty() && self.exact.is_empty() && self.near.is_empty()
    }

    pub fn lines(&self) -> Vec<String> {
        let patients = self.patients.iter().map(|(patient, parts)| {
            let parts = parts.iter().map(|(part, paths)| format!("{part}: {}", paths.join(", ")));
            format!("  patient {patient} is in {}", parts.collect::<Vec<_>>().join("; "))
        });
        let exact = self.exact.iter().map(|group| format!("  the same file: {}", group.join(", ")));
        let near = self.near.iter().map(|pair| {
            format!(
                "  near duplicates (correlation {:.3}): {}, {}",
                pair.detail_correlation, pair.first, pair.second
            )
        });
        patients.chain(exact).chain(near).collect()
    }
}
