//! What a table says of an image beside its patient and label: the columns, and the group that a value belongs to.

use serde::{Deserialize, Serialize};

/// A column of the table. The order is that in which the folds are stratified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    /// Hospital or department.
    Site,
    /// F, M or O.
    Sex,
    /// In years; grouped in bands.
    Age,
    /// Projection.
    View,
    /// Make or name of the machine.
    Scanner,
    /// Of the image; grouped by year.
    Date,
}

/// First year of every band of ages after the first.
const BANDS: [u32; 5] = [6, 18, 40, 60, 80];
const OLDEST: f64 = 130.0;

impl Column {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Site, Self::Sex, Self::Age, Self::View, Self::Scanner, Self::Date];

    /// Its name in the head of the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Sex => "sex",
            Self::Age => "age",
            Self::View => "view",
            Self::Scanner => "scanner",
            Self::Date => "date",
        }
    }

    /// What its groups are groups of.
    pub const fn property(self) -> &'static str {
        match self {
            Self::Date => "year",
            _ => self.name(),
        }
    }

    /// The group of a value; none where it is not known.
    ///
    /// # Errors
    /// What was expected instead.
    pub(super) fn group(self, value: &str) -> Result<Option<String>, &'static str> {
        if value.is_empty() {
            return Ok(None);
        }
        let found = match self {
            Self::Site | Self::View | Self::Scanner => Some(value.to_owned()),
            Self::Sex => match value.to_lowercase().as_str() {
                "f" | "female" => Some("F".to_owned()),
                "m" | "male" => Some("M".to_owned()),
                "o" | "other" => Some("O".to_owned()),
                "u" | "unknown" => None,
                _ => return Err("F, M, O or nothing"),
            },
            Self::Age => {
                let age = value.parse::<f64>().ok().filter(|age| (0.0..=OLDEST).contains(age));
                Some(band(age.ok_or("an age in years, 0 to 130, or nothing")? as u32))
            }
            Self::Date => {
                Some(year(value).ok_or("a date (YYYY, YYYY-MM, YYYY-MM-DD or YYYYMMDD) or nothing")?)
            }
        };
        Ok(found)
    }
}

fn band(age: u32) -> String {
    let first = BANDS.into_iter().rfind(|first| *first <= age).unwrap_or(0);
    match BANDS.into_iter().find(|next| *next > age) {
        Some(next) => format!("{first:02} to {:02}", next - 1),
        None => format!("{first} and more"),
    }
}

fn year(date: &str) -> Option<String> {
    let is_number = |part: &str, lengths: &[usize]| {
        lengths.contains(&part.len()) && part.chars().all(|c| c.is_ascii_digit())
    };
    let mut parts = date.split('-');
    let (first, rest): (&str, Vec<&str>) = (parts.next()?, parts.collect());
    let fits = rest.len() <= 2
        && is_number(first, if rest.is_empty() { &[4, 8] } else { &[4] })
        && rest.iter().all(|part| is_number(part, &[2]));
    fits.then(|| first[..4].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_groups() {
        let group = |column: Column, value| column.group(value).unwrap();
        for (age, expected) in [
            ("0", "00 to 05"),
            ("5.9", "00 to 05"),
            ("6", "06 to 17"),
            ("79", "60 to 79"),
            ("104", "80 and more"),
        ] {
            assert_eq!(group(Column::Age, age).as_deref(), Some(expected));
        }
        for date in ["2021", "2021-05", "2021-05-30", "20210530"] {
            assert_eq!(group(Column::Date, date).as_deref(), Some("2021"));
        }
        assert_eq!(group(Column::Sex, "female").as_deref(), Some("F"));
        assert_eq!((group(Column::Sex, "U"), group(Column::Site, "")), (None, None));
        for (column, value) in
            [(Column::Age, "adult"), (Column::Age, "-1"), (Column::Date, "30.5.2021"), (Column::Sex, "x")]
        {
            assert!(column.group(value).is_err(), "{value}");
        }
    }
}
