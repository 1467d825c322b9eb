//! Stratification of a class by the columns of the table.

use super::columns::Column;
use super::groups::Group;
use std::collections::BTreeMap;

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
