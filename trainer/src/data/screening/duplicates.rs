//! Duplicates: byte-equal files, and near duplicates, which show the same radiograph in different bytes.

use super::survey::Survey;
use crate::config::Screening;
use crate::data::entry::{Entry, OfficialSplit};
use crate::data::index::Index;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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
    let path = |position: &usize| index.entries[*position].path.clone();
    let groups = copies(index);
    let paths = |files: &Vec<&Entry>| files.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
    let contradicting = groups.iter().filter(|files| contradict(files)).map(paths).collect();
    let exact = groups.iter().map(paths).collect();
    let mut digests = BTreeSet::new();
    let firsts = index.entries.iter().enumerate().filter(|(_, entry)| digests.insert(&entry.sha256));
    let known: Vec<_> =
        firsts.filter_map(|(at, _)| survey.facts[at].as_ref().map(|facts| (at, facts))).collect();
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

/// Groups of two or more byte-equal files.
fn copies(index: &Index) -> Vec<Vec<&Entry>> {
    let mut by_file: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in &index.entries {
        by_file.entry(&entry.sha256).or_default().push(entry);
    }
    let mut groups: Vec<Vec<&Entry>> = by_file.into_values().filter(|files| files.len() > 1).collect();
    groups.sort_by(|a, b| a[0].path.cmp(&b[0].path));
    groups
}

fn contradict(files: &[&Entry]) -> bool {
    files.iter().map(|entry| entry.class.to_ascii_uppercase()).collect::<BTreeSet<_>>().len() > 1
}

/// Fails for byte-equal files in several classes, and in and outside of a published test split.
pub fn check_copies(index: &Index, published_test: bool) -> Result<()> {
    let copies = copies(index);
    let crosses = |files: &[&Entry]| {
        let is_test = files.iter().map(|entry| entry.split == OfficialSplit::Test).collect::<BTreeSet<_>>();
        published_test && is_test.len() > 1
    };
    let line = |files: &Vec<&Entry>| {
        let files = files.iter().map(|entry| format!("{} ({})", entry.path, entry.class));
        format!("  {}", files.collect::<Vec<_>>().join(", "))
    };
    let list = |fails: &dyn Fn(&[&Entry]) -> bool, advice: &str| {
        let found: Vec<String> = copies.iter().filter(|files| fails(files)).map(line).collect();
        (!found.is_empty()).then(|| {
            format!("{} groups of byte-equal files are {advice}:\n{}", found.len(), found.join("\n"))
        })
    };
    let lists = [
        list(
            &contradict,
            "in several classes: the labels contradict. Find out which label is right and remove the other files",
        ),
        list(
            &crosses,
            "in the published test split and outside it, so the test would not be independent. Remove one file of each group",
        ),
    ];
    let lists: Vec<String> = lists.into_iter().flatten().collect();
    ensure!(lists.is_empty(), "{}", lists.join("\n"));
    Ok(())
}
