//! Groups of images that stay in one fold, and strata of groups by the columns of the table.

use super::columns::Column;
use super::entry::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Images of one patient, or of patients who share a byte-equal file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Label of the majority. A patient imaged before and during a pneumonia has both; a tie is positive.
    pub positive: bool,
    /// Most frequent class folder of the images with that label.
    pub class: String,
    pub paths: Vec<String>,
    /// Most frequent group by column of the table.
    pub columns: BTreeMap<Column, String>,
}

/// Sorted by the smallest patient identifier in the group.
pub fn groups(entries: &[&Entry]) -> Vec<Group> {
    // Smallest connected patient of every patient, by label propagation over shared files.
    let mut root: BTreeMap<&str, &str> =
        entries.iter().map(|e| (e.patient.as_str(), e.patient.as_str())).collect();
    let mut by_file: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for entry in entries {
        by_file.entry(&entry.sha256).or_default().insert(&entry.patient);
    }
    let mut changed = true;
    while changed {
        changed = false;
        for patients in by_file.values().filter(|patients| patients.len() > 1) {
            let smallest = patients.iter().filter_map(|patient| root.get(patient).copied()).min();
            for patient in patients {
                if let Some(smallest) = smallest.filter(|smallest| root[patient] != *smallest) {
                    root.insert(patient, smallest);
                    changed = true;
                }
            }
        }
    }
    let mut members: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        members.entry(root[entry.patient.as_str()]).or_default().push(entry);
    }
    members.into_values().map(|members| group(&members)).collect()
}

fn group(members: &[&Entry]) -> Group {
    let positive = members.iter().filter(|entry| entry.positive).count() * 2 >= members.len();
    let of_label = members.iter().filter(|entry| entry.positive == positive);
    let class = most_frequent(of_label.map(|entry| entry.class.as_str())).unwrap_or_default();
    let column = |column: Column| {
        let values = members.iter().filter_map(|entry| entry.columns.get(&column));
        Some((column, most_frequent(values.map(String::as_str))?.to_owned()))
    };
    Group {
        positive,
        class: class.to_ascii_uppercase(),
        paths: members.iter().map(|entry| entry.path.clone()).collect(),
        columns: Column::ALL.into_iter().filter_map(column).collect(),
    }
}

/// In a tie, the first in alphabetical order.
fn most_frequent<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let most = counts.values().max().copied();
    counts.into_iter().find(|(_, n)| Some(*n) == most).map(|(name, _)| name)
}

/// Divides the groups of one class by each column in turn. Strata of fewer than `fewest` groups are merged.
pub(super) fn strata(groups: Vec<Group>, fewest: usize) -> Vec<Vec<Group>> {
    Column::ALL.into_iter().fold(vec![groups], |strata, column| {
        strata.into_iter().flat_map(|stratum| by(column, stratum, fewest)).collect()
    })
}

fn by(column: Column, groups: Vec<Group>, fewest: usize) -> Vec<Vec<Group>> {
    let mut parts: BTreeMap<Option<String>, Vec<Group>> = BTreeMap::new();
    for group in groups {
        parts.entry(group.columns.get(&column).cloned()).or_default().push(group);
    }
    let (mut large, small): (Vec<_>, Vec<_>) = parts.into_values().partition(|part| part.len() >= fewest);
    let rest: Vec<Group> = small.into_iter().flatten().collect();
    match large.iter_mut().min_by_key(|part| part.len()) {
        Some(smallest) if rest.len() < fewest => smallest.extend(rest),
        _ => large.push(rest),
    }
    large
}

/// Smallest stratum of which every fold with one of these shares gets a group.
pub(super) fn fewest(shares: impl Iterator<Item = f64>) -> usize {
    let smallest = shares.filter(|share| *share > 0.0).fold(f64::INFINITY, f64::min);
    if smallest.is_finite() { (1.0 / smallest).ceil() as usize } else { usize::MAX }
}
