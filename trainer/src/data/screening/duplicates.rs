//! Duplicates: byte-equal files, and near duplicates, which show the same radiograph in different bytes.

use super::survey::Survey;
use crate::config::Screening;
use crate::data::copies::{contradict, copies};
use crate::data::entry::Entry;
use crate::data::index::Index;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearPair {
    /// `first` sorts before `second`.
    pub first: String,
    pub second: String,
    pub hash_distance: u32,
    pub detail_correlation: f64,
    pub same_patient: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duplicates {
    pub exact: Vec<Vec<String>>,
    /// Groups of byte-equal files in several classes.
    #[serde(default)]
    pub contradicting: Vec<Vec<String>>,
    /// Of byte-equal files, only the first is compared.
    pub near: Vec<NearPair>,
    /// Number of pairs with hashes close enough to compare their details.
    pub n_compared: usize,
    /// Largest correlation of a compared pair below the threshold.
    pub largest_other_correlation: Option<f64>,
}

pub fn find(index: &Index, survey: &Survey, screening: &Screening) -> Duplicates {
    let mut first_of: BTreeMap<&str, usize> = BTreeMap::new();
    for (position, entry) in index.entries.iter().enumerate() {
        first_of.entry(&entry.sha256).or_insert(position);
    }
    let path = |position: &usize| index.entries[*position].path.clone();
    let groups = copies(index);
    let paths = |files: &Vec<&Entry>| files.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
    let contradicting = groups.iter().filter(|files| contradict(files)).map(paths).collect();
    let exact = groups.iter().map(paths).collect();
    let mut firsts: Vec<usize> = first_of.into_values().collect();
    firsts.sort_unstable();
    let known: Vec<_> =
        firsts.into_iter().filter_map(|at| survey.facts[at].as_ref().map(|facts| (at, facts))).collect();
    let mut found =
        Duplicates { exact, contradicting, near: Vec::new(), n_compared: 0, largest_other_correlation: None };
    for (i, (first, a)) in known.iter().enumerate() {
        for (second, b) in &known[i + 1..] {
            let hash_distance = a.hash.distance(b.hash);
            if hash_distance > screening.max_hash_distance {
                continue;
            }
            found.n_compared += 1;
            let detail_correlation = a.detail.correlation(&b.detail);
            if detail_correlation >= screening.min_detail_correlation {
                found.near.push(NearPair {
                    first: path(first),
                    second: path(second),
                    hash_distance,
                    detail_correlation,
                    same_patient: index.entries[*first].patient == index.entries[*second].patient,
                });
            } else {
                let largest = found.largest_other_correlation.unwrap_or(-1.0).max(detail_correlation);
                found.largest_other_correlation = Some(largest);
            }
        }
    }
    found
}
