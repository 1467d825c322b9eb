//! Byte-equal files. They must not be in several classes, nor both inside and outside of the published test split.

use super::entry::{Entry, OfficialSplit};
use super::index::Index;
use anyhow::{Result, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// Groups of two or more byte-equal files.
pub fn copies(index: &Index) -> Vec<Vec<&Entry>> {
    let mut by_file: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in &index.entries {
        by_file.entry(&entry.sha256).or_default().push(entry);
    }
    let mut groups: Vec<Vec<&Entry>> = by_file.into_values().filter(|files| files.len() > 1).collect();
    groups.sort_by(|a, b| a[0].path.cmp(&b[0].path));
    groups
}

pub fn contradict(files: &[&Entry]) -> bool {
    files.iter().map(|entry| entry.class.to_ascii_uppercase()).collect::<BTreeSet<_>>().len() > 1
}

/// Lists all byte-equal files in several classes and, if the published test split is the test fold, in and outside of it.
pub fn check(index: &Index, published_test: bool) -> Result<()> {
    let copies = copies(index);
    let crosses = |files: &[&Entry]| {
        let is_test = files.iter().map(|entry| entry.split == OfficialSplit::Test).collect::<BTreeSet<_>>();
        published_test && is_test.len() > 1
    };
    let list = |fails: &dyn Fn(&[&Entry]) -> bool, advice: &str| {
        let found: Vec<String> =
            copies.iter().filter(|files| fails(files)).map(|files| line(files)).collect();
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

fn line(files: &[&Entry]) -> String {
    let files: Vec<String> = files.iter().map(|entry| format!("{} ({})", entry.path, entry.class)).collect();
    format!("  {}", files.join(", "))
}
