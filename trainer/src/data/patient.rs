//! The rule that tells which files belong to one patient. A data set without a rule is refused, because folds
//! drawn by a wrong rule share patients and make every figure too good.

use super::defects::listed;
use super::guess::{Guess, guess};
use crate::config::Data;
use anyhow::anyhow;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Who the patient of a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PatientRule {
    /// The names have one of the known forms.
    KnownNames,
    /// The first group of this regular expression.
    Pattern(String),
    /// The table with this name says it.
    Table(String),
    /// Each file counts as a patient of its own: `trainer.data.each_file_is_a_patient`.
    EachFile,
}

impl PatientRule {
    /// What the configuration chooses.
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

    /// One sentence for people.
    pub fn statement(&self) -> String {
        match self {
            Self::KnownNames => "The file names tell the patient (known forms of names).".to_owned(),
            Self::Pattern(pattern) => format!("The file names tell the patient: {pattern}"),
            Self::Table(name) => format!("The table {name} tells the patient."),
            Self::EachFile => {
                "Each file counts as a patient of its own: nothing says which files are one patient's. \
                 If a patient has several, they can be in different folds, and the figures are then too good."
                    .to_owned()
            }
        }
    }

    /// Whether patients with several files are known.
    pub const fn tells_patients(&self) -> bool {
        !matches!(self, Self::EachFile)
    }
}

/// The patient by the first group of the pattern that takes part.
pub(crate) fn by_pattern(path: &str, pattern: &Regex) -> Option<String> {
    let found = pattern.captures(path)?;
    found.iter().skip(1).flatten().next().map(|group| group.as_str().to_owned())
}

/// Share of files that may be few enough to be patients of their own.
const FEW: f64 = 0.1;

/// What to do about files that the configured pattern does not match. `paths` are those of all files below their class folders.
pub(super) fn unmatched(files: &[String], paths: &[&str], pattern: &str) -> anyhow::Error {
    let advice = match another(paths, pattern) {
        Some(Guess { pattern, n_patients }) => format!(
            "This pattern finds {n_patients} patients in all {} files; look whether that is right:\n{}",
            paths.len(),
            yaml(&format!("patient_pattern: {}", quoted(&pattern)))
        ),
        None if files.len() as f64 <= FEW * paths.len() as f64 => format!(
            "Widen it; this counts each of them as a patient of its own:\n{}",
            yaml(&format!("patient_pattern: {}", quoted(&widened(pattern))))
        ),
        None => format!(
            "Set a pattern that fits these names too, or let a CSV file with the columns file,patient tell it:\n{}",
            yaml("table: patients.csv")
        ),
    };
    anyhow!(
        "trainer.data.patient_pattern ({pattern}) does not say whose {} of {} files are:\n{}\n{advice}",
        files.len(),
        paths.len(),
        listed(files)
    )
}

/// A pattern that fits all files and tells apart at least the patients that the configured one does.
fn another(paths: &[&str], pattern: &str) -> Option<Guess> {
    let configured = Regex::new(pattern).ok()?;
    let patients_of = |pattern: &Regex, paths: &[&str]| {
        paths.iter().filter_map(|path| by_pattern(path, pattern)).collect::<BTreeSet<_>>().len()
    };
    let (told, untold): (Vec<&str>, Vec<&str>) = paths.iter().partition(|path| configured.is_match(path));
    let n_told = patients_of(&configured, &told);
    let fits = |guess: &Guess| {
        Regex::new(&guess.pattern).is_ok_and(|guessed| n_told <= patients_of(&guessed, &told))
    };
    guess(paths).filter(fits).or_else(|| {
        // A form of its own, beside the configured one: unless the same number is a patient in both.
        let beside = guess(&untold).filter(|_| untold.len() as f64 > FEW * paths.len() as f64)?;
        let both = format!("{pattern}|{}", beside.pattern);
        let n_patients = patients_of(&Regex::new(&both).ok()?, paths);
        (n_patients == n_told + beside.n_patients).then_some(Guess { pattern: both, n_patients })
    })
}

/// The pattern, and beside it one by which each file is a patient.
fn widened(pattern: &str) -> String {
    // Without an anchor the alternative, which matches from the beginning, would come before the pattern.
    let is_plain = pattern.starts_with('^') && !pattern.contains('|');
    if is_plain { format!("{pattern}|^(.+)$") } else { format!("^.*?(?:{pattern})|^(.+)$") }
}

/// What to do about files whose names have no known form. `paths` are those of all files below their class folders.
pub(super) fn unknown(files: &[String], paths: &[&str]) -> anyhow::Error {
    let by_name = match guess(paths) {
        Some(guess) => format!(
            "- The names tell it. This pattern finds {} patients in {} files; look whether that is right:\n{}",
            guess.n_patients,
            paths.len(),
            yaml(&format!("patient_pattern: {}", quoted(&guess.pattern)))
        ),
        None => format!(
            "- The names tell it: a regular expression whose first group is the patient, such as:\n{}",
            yaml("patient_pattern: '^case-([0-9]+)-'")
        ),
    };
    anyhow!(
        "nothing says which files are one patient's: {} of {} file names have no known form:\n{}\nA patient in two folds makes every figure too good. Choose one:\n{by_name}\n\
         - A CSV file with the columns file,patient (and more: docs/TRAINING.md) tells it:\n{}\n- Each file is a patient of its own:\n{}",
        files.len(),
        paths.len(),
        listed(files),
        yaml("table: patients.csv"),
        yaml("each_file_is_a_patient: true"),
    )
}

/// A key of `trainer.data` as it stands in a file.
fn yaml(key: &str) -> String {
    format!("    trainer:\n      data:\n        {key}")
}

/// A text as YAML, whatever it holds.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `personN_bacteria`, `personN_virus`, `IM-N` and `NORMAL2-IM-N`; `NNNNNNNN_NNN`; none for a name of another form.
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
    fn file_names_tell_the_patient() {
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
    fn a_pattern_that_is_not_that_of_the_names_is_advised_against() {
        let names = |form: &str, n: usize| -> Vec<String> {
            (0..2 * n)
                .map(|i| form.replace('#', &(100 + i / 2).to_string()).replace('@', &(i % 2).to_string()))
                .collect()
        };
        let told = |names: &[String], untold: &[String], pattern: &str| {
            let paths: Vec<&str> = names.iter().chain(untold).map(String::as_str).collect();
            unmatched(untold, &paths, pattern).to_string()
        };
        let found = told(&[], &names("site-#-@.png", 95), "^case-([0-9]+)");
        assert!(found.contains("'^site-([0-9]+)-'") && found.contains("95 patients in all 190"), "{found}");
        // Some have the form: both stay apart.
        let found = told(&names("case-#-@.png", 5), &names("site-9#-@.png", 95), "^case-([0-9]+)");
        assert!(found.contains("100 patients in all 200") && !found.contains("(.+)"), "{found}");
        // Many, and no form is seen in their names.
        let found =
            told(&names("case-#-@.png", 5), &["anna.png".to_owned(), "ben.png".to_owned()], "^case-([0-9]+)");
        assert!(found.contains("table: patients.csv") && !found.contains("(.+)"), "{found}");
    }

    #[test]
    fn the_advice_for_a_pattern_keeps_what_it_matched() {
        for pattern in ["^case-([0-9]+)-", "case-([0-9]+)", "^case-([0-9]+)-|^it's([a-z])"] {
            let matched: Vec<String> = (10..29)
                .map(|n| format!("{}case-{n}-b.png", if pattern.starts_with('^') { "" } else { "x-" }))
                .collect();
            let paths: Vec<&str> = matched.iter().map(String::as_str).chain(["other.png"]).collect();
            let told = unmatched(&["other.png".to_owned()], &paths, pattern).to_string();
            let advice: String = told
                .lines()
                .rev()
                .take(3)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join("\n");
            let advice: serde_yaml_ng::Value = serde_yaml_ng::from_str(&advice).unwrap();
            let widened = Regex::new(advice["trainer"]["data"]["patient_pattern"].as_str().unwrap()).unwrap();
            let name = if pattern.starts_with('^') { "case-17-b.png" } else { "x-case-17-b.png" };
            assert_eq!(by_pattern(name, &widened).as_deref(), Some("17"), "{pattern}");
            assert_eq!(by_pattern("other.png", &widened).as_deref(), Some("other.png"), "{pattern}");
        }
    }
}
