//! The groups of patients that the figures distinguish, and those that the data does not name.

use super::EvaluationFile;
use std::collections::BTreeSet;

/// What a reader asks for, with the words that a group's name can have for it.
const ASKED_FOR: [(&str, &[&str]); 5] = [
    ("age", &["age"]),
    ("sex", &["sex", "gender"]),
    ("projection", &["view", "projection"]),
    ("scanner", &["scanner", "device", "manufacturer"]),
    ("site", &["site", "hospital", "institution"]),
];

/// What the images of these evaluations were divided by.
pub fn properties<'a>(files: impl IntoIterator<Item = &'a EvaluationFile>) -> BTreeSet<String> {
    let groups = files.into_iter().flat_map(|file| &file.details.subgroups);
    groups.map(|group| group.property.clone()).collect()
}

/// What a reader asks for and no group tells apart.
pub fn unnamed(properties: &BTreeSet<String>) -> Vec<&'static str> {
    let has = |words: &[&str]| {
        properties.iter().any(|property| {
            let mut parts = property.split(|c: char| !c.is_alphanumeric());
            parts.any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)))
        })
    };
    ASKED_FOR.iter().filter(|(_, words)| !has(words)).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_counts_by_the_words_of_its_name() {
        let found = |names: &[&str]| unnamed(&names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(found(&["mean level", "average"]), ["age", "sex", "projection", "scanner", "site"]);
        assert_eq!(found(&["Age (thirds)", "sex", "scanner"]), ["projection", "site"]);
    }
}
