//! Strata within a class, by the groups of the table, so that every fold gets its share of each.

use super::columns::Column;
use super::groups::Group;
use std::collections::BTreeMap;

/// Divides the groups of one class by site, then by the other columns, as far as every part keeps at least `fewest` patients. Parts that
/// would be smaller stay together.
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

/// Patients below which a stratum can miss one of the folds that take these shares.
pub(super) fn fewest(shares: impl Iterator<Item = f64>) -> usize {
    let smallest = shares.filter(|share| *share > 0.0).fold(f64::INFINITY, f64::min);
    if smallest.is_finite() { (1.0 / smallest).ceil() as usize } else { usize::MAX }
}
