//! The rule that assigns files to patients. A data set without a rule is an error, because folds drawn by a
//! wrong rule share patients, and all metrics are then too good.

use super::defects::listed;
use super::guess::{Guess, guess};
use crate::config::Data;
use anyhow::anyhow;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PatientRule {
    /// [`known`] naming schemes.
    KnownNames,
    /// First group of this regular expression.
    Pattern(String),
    /// The table with this name.
    Table(String),
    /// Each file is a patient of its own.
    EachFile,
}

impl PatientRule {
    pub(super) fn of(data: &Data) -> Self {
        match (&data.patient_pattern, &data.table) {
            (Some(pattern), _) => Self::Pattern(pattern.clone()),
            (_, Some(table)) => {
                let name = table.file_name().unwrap_or_default();
                Self::Table(name.to_string_lossy().into_owned())
            }
            _ if data.each_file_is_a_patient => Self::EachFile,
            _ => Self::KnownNames,
        }
    }

    pub fn statement(&self) -> String {
        match self {
            Self::KnownNames => "Patients come from the file names (a known naming scheme).".to_owned(),
            Self::Pattern(pattern) => format!("Patients come from the file names: {pattern}"),
            Self::Table(name) => format!("Patients come from the table {name}."),
            Self::EachFile => {
                "Each file counts as a patient of its own. If a patient has several files, they can be in different \
                 folds, and the metrics are then too good."
                    .to_owned()
            }
        }
    }

    pub const fn groups_files(&self) -> bool {
        !matches!(self, Self::EachFile)
    }
}

/// The first group that takes part in the match.
pub(crate) fn by_pattern(path: &str, pattern: &Regex) -> Option<String> {
    let found = pattern.captures(path)?;
    found.iter().skip(1).flatten().next().map(|group| group.as_str().to_owned())
}

/// Largest share of unmatched files for which the advice may be to treat each as a patient.
const FEW: f64 = 0.1;

/// Error with advice about files that the pattern misses. `paths` are all paths below the class folders.
pub(super) fn unmatched_error(files: &[String], paths: &[&str], pattern: &str) -> anyhow::Error {
    let advice = match better_pattern(paths, pattern) {
        Some(Guess { pattern, n_patients }) => format!(
            "This pattern finds {n_patients} patients in all {} files; check whether that is right:\n{}",
            paths.len(),
            yaml(&format!("patient_pattern: {}", quoted(&pattern)))
        ),
        None if files.len() as f64 <= FEW * paths.len() as f64 => format!(
            "Extend it; this pattern counts each of them as a patient of its own:\n{}",
            yaml(&format!("patient_pattern: {}", quoted(&widened(pattern))))
        ),
        None => format!(
            "Set a pattern that matches these names too, or use a CSV file with the columns file,patient:\n{}",
            yaml("table: patients.csv")
        ),
    };
    anyhow!(
        "trainer.data.patient_pattern ({pattern}) does not match {} of {} files:\n{}\n{advice}",
        files.len(),
        paths.len(),
        listed(files)
    )
}

/// A pattern that matches all files and distinguishes at least the patients that the configured one does.
fn better_pattern(paths: &[&str], pattern: &str) -> Option<Guess> {
    let configured = Regex::new(pattern).ok()?;
    let patients_of = |pattern: &Regex, paths: &[&str]| {
        paths.iter().filter_map(|path| by_pattern(path, pattern)).collect::<BTreeSet<_>>().len()
    };
    let (matched, others): (Vec<&str>, Vec<&str>) = paths.iter().partition(|path| configured.is_match(path));
    let n_matched = patients_of(&configured, &matched);
    let fits = |guess: &Guess| {
        Regex::new(&guess.pattern).is_ok_and(|guessed| n_matched <= patients_of(&guessed, &matched))
    };
    guess(paths).filter(fits).or_else(|| {
        // A second naming scheme, unless an identifier occurs in both.
        let beside = guess(&others).filter(|_| others.len() as f64 > FEW * paths.len() as f64)?;
        let both = format!("{pattern}|{}", beside.pattern);
        let n_patients = patients_of(&Regex::new(&both).ok()?, paths);
        (n_patients == n_matched + beside.n_patients).then_some(Guess { pattern: both, n_patients })
    })
}

/// The pattern, with an alternative by which each other file is a patient.
fn widened(pattern: &str) -> String {
    // Without an anchor, the alternative would match first, at the start of the path.
    let is_plain = pattern.starts_with('^') && !pattern.contains('|');
    if is_plain { format!("{pattern}|^(.+)$") } else { format!("^.*?(?:{pattern})|^(.+)$") }
}

/// Error with advice about unknown naming schemes. `paths` are all paths below the class folders.
pub(super) fn unknown_error(files: &[String], paths: &[&str]) -> anyhow::Error {
    let by_name = match guess(paths) {
        Some(guess) => format!(
            "- From the file names. This pattern finds {} patients in {} files; check whether that is right:\n{}",
            guess.n_patients,
            paths.len(),
            yaml(&format!("patient_pattern: {}", quoted(&guess.pattern)))
        ),
        None => format!(
            "- From the file names, by a regular expression whose first group is the patient, such as:\n{}",
            yaml("patient_pattern: '^case-([0-9]+)-'")
        ),
    };
    anyhow!(
        "no rule for patients: {} of {} file names follow no known naming scheme:\n{}\nA patient in two folds makes all metrics too good. Choose how to find the patient of a file:\n{by_name}\n\
         - From a CSV file with the columns file,patient (docs/TRAINING.md lists others):\n{}\n- Each file is a patient of its own:\n{}",
        files.len(),
        paths.len(),
        listed(files),
        yaml("table: patients.csv"),
        yaml("each_file_is_a_patient: true"),
    )
}

fn yaml(key: &str) -> String {
    format!("    trainer:\n      data:\n        {key}")
}

pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The patient in the naming schemes of Kermany et al. (`personN_bacteria`, `personN_virus`, `IM-N`,
/// `NORMAL2-IM-N`) and ChestX-ray14 (`NNNNNNNN_NNN`).
pub fn known(file_name: &str) -> Option<String> {
    let pneumonia = || {
        let (number, rest) = split_digits(file_name.strip_prefix("person")?)?;
        let organism = ["bacteria", "virus"]
            .into_iter()
            .find(|o| rest.strip_prefix('_').is_some_and(|r| r.starts_with(o)))?;
        Some(format!("person{number}_{organism}"))
    };
    let normal = || {
        let (prefix, rest) = match file_name.strip_prefix("NORMAL2-") {
            Some(rest) => ("NORMAL2-", rest),
            None => ("", file_name),
        };
        let (number, _) = split_digits(rest.strip_prefix("IM-")?)?;
        Some(format!("{prefix}IM-{number}"))
    };
    let numbered = || {
        let (patient, rest) = split_digits(file_name)?;
        let (follow_up, rest) = split_digits(rest.strip_prefix('_')?)?;
        let fits = patient.len() == 8 && follow_up.len() == 3 && rest.starts_with('.');
        fits.then(|| patient.to_owned())
    };
    pneumonia().or_else(normal).or_else(numbered)
}

fn split_digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_naming_schemes_give_the_patient() {
        let cases = [
            ("person23_bacteria_78.jpeg", Some("person23_bacteria")),
            ("person23_virus_56.jpeg", Some("person23_virus")),
            ("person1_virus_6_7.jpeg", Some("person1_virus")),
            ("IM-0115-0001.jpeg", Some("IM-0115")),
            ("IM-0538-0001-0002.jpeg", Some("IM-0538")),
            ("NORMAL2-IM-0115-0001.jpeg", Some("NORMAL2-IM-0115")),
            ("00012345_003.png", Some("00012345")),
            ("0012345_003.png", None),
            ("00012345_003_a.png", None),
            ("holiday.jpeg", None),
            ("person_bacteria_1.jpeg", None),
        ];
        for (name, expected) in cases {
            assert_eq!(known(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_first_group_that_takes_part_is_the_patient() {
        let pattern = Regex::new(r"^case-(\d+)-|^old_([a-z]+)").unwrap();
        assert_eq!(by_pattern("case-17-b.png", &pattern).as_deref(), Some("17"));
        assert_eq!(by_pattern("old_anna.png", &pattern).as_deref(), Some("anna"));
        assert_eq!(by_pattern("IM-0115-0001.jpeg", &pattern), None);
    }

    #[test]
    fn advice_for_a_pattern_that_misses_files_fits_all_names() {
        let names = |form: &str, n: usize| -> Vec<String> {
            (0..2 * n)
                .map(|i| form.replace('#', &(100 + i / 2).to_string()).replace('@', &(i % 2).to_string()))
                .collect()
        };
        let error = |names: &[String], others: &[String]| {
            let paths: Vec<&str> = names.iter().chain(others).map(String::as_str).collect();
            unmatched_error(others, &paths, "^case-([0-9]+)").to_string()
        };
        let found = error(&[], &names("site-#-@.png", 95));
        assert!(found.contains("'^site-([0-9]+)-'") && found.contains("95 patients in all 190"), "{found}");
        // Some files match: the two schemes stay apart.
        let found = error(&names("case-#-@.png", 5), &names("site-9#-@.png", 95));
        assert!(found.contains("100 patients in all 200") && !found.contains("(.+)"), "{found}");
        // Too many for patients of their own, and no scheme in their names.
        let found = error(&names("case-#-@.png", 5), &["anna.png".to_owned(), "ben.png".to_owned()]);
        assert!(found.contains("table: patients.csv") && !found.contains("(.+)"), "{found}");
    }

    #[test]
    fn the_advice_for_a_pattern_keeps_what_it_matched() {
        for pattern in ["^case-([0-9]+)-", "case-([0-9]+)", "^case-([0-9]+)-|^it's([a-z])"] {
            let matched: Vec<String> = (10..29)
                .map(|n| format!("{}case-{n}-b.png", if pattern.starts_with('^') { "" } else { "x-" }))
                .collect();
            let paths: Vec<&str> = matched.iter().map(String::as_str).chain(["other.png"]).collect();
            let error = unmatched_error(&["other.png".to_owned()], &paths, pattern).to_string();
            let advice = &error[error.find("    trainer:").unwrap()..];
            let advice: serde_yaml_ng::Value = serde_yaml_ng::from_str(advice).unwrap();
            let widened = Regex::new(advice["trainer"]["data"]["patient_pattern"].as_str().unwrap()).unwrap();
            let name = if pattern.starts_with('^') { "case-17-b.png" } else { "x-case-17-b.png" };
            assert_eq!(by_pattern(name, &widened).as_deref(), Some("17"), "{pattern}");
            assert_eq!(by_pattern("other.png", &widened).as_deref(), Some("other.png"), "{pattern}");
        }
    }
}
