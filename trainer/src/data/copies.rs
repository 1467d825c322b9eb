//! Byte-equal files in several classes, or both inside and outside of the published test split.

use super::entry::{Entry, OfficialSplit};
use super::index::Index;
use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};

/// Groups of byte-equal files.
pub fn copies(index: &Index) -> Vec<Vec<&Entry>> {
    let mut by_file: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in &index.entries {
        by_file.entry(&entry.sha256).or_default().push(entry);
    }
    let mut groups: Vec<Vec<&Entry>> = by_file.into_values().filter(|files| files.len() > 1).collect();
    groups.sort_by(|a, b| a[0].path.cmp(&b[0].path));
    groups
}

/// Whether byte-equal files are of several classes.
pub fn contradict(files: &[&Entry]) -> bool {
    files.iter().map(|entry| entry.class().to_ascii_uppercase()).collect::<BTreeSet<_>>().len() > 1
}

/// Refuses byte-equal files in several classes, and, where the published test split is the test fold, in it and outside it.
pub fn check(index: &Index, published_test: bool) -> Result<()> {
    let copies = copies(index);
    let tests = |files: &[&Entry]| {
        let is_test = files.iter().map(|entry| entry.split == OfficialSplit::Test).collect::<BTreeSet<_>>();
        published_test && is_test.len() > 1
    };
    let contradicting: Vec<String> =
        copies.iter().filter(|files| contradict(files)).map(|files| line(files)).collect();
    let crossing: Vec<String> = copies.iter().filter(|files| tests(files)).map(|files| line(files)).collect();
    let mut told = Vec::new();
    if !contradicting.is_empty() {
        told.push(format!(
            "{} times the same file is in several classes: the labels contradict. Find out which label is right and remove the other files:\n{}",
            contradicting.len(),
            contradicting.join("\n")
        ));
    }
    if !crossing.is_empty() {
        told.push(format!(
            "{} times the same file is in the published test split and outside it: what was trained with tests nothing. Remove one of each:\n{}",
            crossing.len(),
            crossing.join("\n")
        ));
    }
    if told.is_empty() { Ok(()) } else { bail!("{}", told.join("\n")) }
}

fn line(files: &[&Entry]) -> String {
    let files = files.iter().map(|entry| format!("{} ({})", entry.path, entry.class()));
    format!("  {}", files.collect::<Vec<_>>().join(", "))
}
