//! The patient that a file's name tells.

use anyhow::{Result, anyhow};
use regex::Regex;

/// The patient by the configured pattern's first group, or by the rule of the known datasets where none is configured.
///
/// # Errors
/// Names a file that the configured pattern does not match: its patient would be unknown.
pub fn patient(file_name: &str, pattern: Option<&Regex>) -> Result<String> {
    let Some(pattern) = pattern else { return Ok(known(file_name)) };
    let group = pattern.captures(file_name).and_then(|found| found.get(1));
    group.map(|group| group.as_str().to_owned()).ok_or_else(|| {
        anyhow!(
            "{file_name}: trainer.data.patient_pattern ({pattern}) does not say whose it is; widen it, for example by |(.+)"
        )
    })
}

/// Kermany's `personN_bacteria`, `personN_virus`, `IM-N` and `NORMAL2-IM-N`; NIH's `NNNNNNNN_NNN`; a name of another form
/// is a patient of its own.
fn known(file_name: &str) -> String {
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
    let nih = || {
        let (patient, rest) = split_digits(file_name)?;
        let (follow_up, rest) = split_digits(rest.strip_prefix('_')?)?;
        let fits = patient.len() == 8 && follow_up.len() == 3 && rest.starts_with('.');
        fits.then(|| patient.to_owned())
    };
    pneumonia().or_else(normal).or_else(nih).unwrap_or_else(|| file_name.to_owned())
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
            ("person23_bacteria_78.jpeg", "person23_bacteria"),
            ("person23_virus_56.jpeg", "person23_virus"),
            ("person1_virus_6_7.jpeg", "person1_virus"),
            ("IM-0115-0001.jpeg", "IM-0115"),
            ("IM-0538-0001-0002.jpeg", "IM-0538"),
            ("NORMAL2-IM-0115-0001.jpeg", "NORMAL2-IM-0115"),
            ("00012345_003.png", "00012345"),
            ("0012345_003.png", "0012345_003.png"),
            ("00012345_003_a.png", "00012345_003_a.png"),
            ("holiday.jpeg", "holiday.jpeg"),
            ("person_bacteria_1.jpeg", "person_bacteria_1.jpeg"),
        ];
        for (name, expected) in cases {
            assert_eq!(patient(name, None).unwrap(), expected);
        }
    }

    #[test]
    fn a_configured_pattern_tells_it_or_fails() {
        let pattern = Regex::new(r"^case-(\d+)-").unwrap();
        assert_eq!(patient("case-17-b.png", Some(&pattern)).unwrap(), "17");
        let error = patient("IM-0115-0001.jpeg", Some(&pattern)).unwrap_err().to_string();
        assert!(error.contains("IM-0115-0001.jpeg") && error.contains("patient_pattern"), "{error}");
    }
}
