//! A guess at the pattern in file names that identifies the patient. Messages suggest it; a person decides.

use regex::Regex;
use std::collections::BTreeSet;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guess {
    /// Regular expression whose first group is the patient.
    pub pattern: String,
    pub n_patients: usize,
}

/// The most specific pattern that matches all paths and finds patients with several files.
pub fn guess(paths: &[&str]) -> Option<Guess> {
    let general = [r"^([^/]+)/", r"^([A-Za-z]+[-_]?[0-9]+)[-_]", r"^([0-9]+)[-_]", r"^([^-_/]+)[-_]"];
    let mut patterns = numbered(paths).into_iter().chain(general.map(str::to_owned));
    patterns.find_map(|pattern| check(pattern, paths))
}

fn check(pattern: String, paths: &[&str]) -> Option<Guess> {
    let regex = Regex::new(&pattern).ok()?;
    let patients: Option<BTreeSet<&str>> =
        paths.iter().map(|path| Some(regex.captures(path)?.get(1)?.as_str())).collect();
    let n_patients = patients?.len();
    (1 < n_patients && n_patients < paths.len()).then_some(Guess { pattern, n_patients })
}

/// A pattern such as `^site-([0-9]+)-`, for names of a common prefix, digits and a separator.
fn numbered(paths: &[&str]) -> Option<String> {
    let mut common = *paths.first()?;
    for path in paths {
        let n = common.chars().zip(path.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
        common = &common[..n];
    }
    let prefix = &common[..common.find(|c: char| c.is_ascii_digit()).unwrap_or(common.len())];
    let after = |path: &&str| {
        let rest = path.get(prefix.len()..)?.trim_start_matches(|c: char| c.is_ascii_digit());
        (rest.len() + prefix.len() < path.len()).then(|| rest.chars().next()).flatten()
    };
    let separators: Option<BTreeSet<char>> = paths.iter().map(after).collect();
    let separator = *separators?.first()?;
    // A hyphen outside of brackets needs no escape, and people read the pattern.
    let literal = |text: &str| regex::escape(text).replace(r"\-", "-");
    Some(format!("^{}([0-9]+){}", literal(prefix), literal(&separator.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_names_have_in_common_becomes_a_pattern() {
        let cases: [(&[&str], Option<(&str, usize)>); 7] = [
            (&["site-0153-a.jpg", "site-0153-b.jpg", "site-0201-a.jpg"], Some(("^site-([0-9]+)-", 2))),
            (&["0153_1.png", "0153_2.png", "0154_1.png"], Some(("^([0-9]+)_", 2))),
            (&["p1/a.png", "p1/b.png", "p2/a.png"], Some(("^p([0-9]+)/", 2))),
            (&["anna/a.png", "anna/b.png", "ben/a.png"], Some(("^([^/]+)/", 2))),
            (&["A-12_x.png", "B-12_x.png", "B-12_y.png"], Some(("^([A-Za-z]+[-_]?[0-9]+)[-_]", 2))),
            (&["site-1-a.png", "site-2-a.png"], None),
            (&["a.png", "b.png"], None),
        ];
        for (names, expected) in cases {
            let found = guess(names).map(|guess| (guess.pattern, guess.n_patients));
            assert_eq!(found, expected.map(|(pattern, n)| (pattern.to_owned(), n)), "{names:?}");
        }
    }
}
