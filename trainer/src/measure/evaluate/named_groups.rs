//! Which of the subgroups that readers expect the figures cover.

use super::EvaluationFile;
use std::collections::BTreeSet;

/// Subgroups that readers expect, with the words that identify them in the name of a property.
const EXPECTED: [(&str, &[&str]); 5] = [
    ("age", &["age"]),
    ("sex", &["sex", "gender"]),
    ("projection", &["view", "projection"]),
    ("scanner", &["scanner", "device", "manufacturer"]),
    ("site", &["site", "hospital", "institution"]),
];

pub fn properties<'a>(files: impl IntoIterator<Item = &'a EvaluationFile>) -> BTreeSet<String> {
    let groups = files.into_iter().flat_map(|file| &file.details.subgroups);
    groups.map(|group| group.property.clone()).collect()
}

/// The expected subgroups that no property covers.
pub fn unnamed(properties: &BTreeSet<String>) -> Vec<&'static str> {
    let has = |words: &[&str]| {
        properties.iter().any(|property| {
            let mut parts = property.split(|c: char| !c.is_alphanumeric());
            parts.any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)))
        })
    };
    EXPECTED.iter().filter(|(_, words)| !has(words)).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_recognised_by_whole_words() {
        let found = |names: &[&str]| unnamed(&names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(found(&["mean level", "average"]), ["age", "sex", "projection", "scanner", "site"]);
        assert_eq!(found(&["Age (thirds)", "sex", "scanner"]), ["projection", "site"]);
    }
}
