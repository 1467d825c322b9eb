//! Optional columns of the table, and the groups that their values belong to.

use cxr::metadata::View;
use serde::{Deserialize, Serialize};
use time::{Date, Duration, Month, OffsetDateTime};

/// The folds are stratified in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    Site,
    Sex,
    /// In years; grouped into bands.
    Age,
    View,
    /// Model or name of the machine.
    Scanner,
    /// Acquisition date; grouped by year.
    Date,
}

/// Lower ends of the age bands after the first.
const BANDS: [u32; 5] = [6, 18, 40, 60, 80];
const OLDEST: f64 = 130.0;
/// Year of the first radiograph.
const FIRST_YEAR: i32 = 1895;

impl Column {
    pub const ALL: [Self; 6] = [Self::Site, Self::Sex, Self::Age, Self::View, Self::Scanner, Self::Date];

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

    pub const fn property(self) -> &'static str {
        match self {
            Self::Date => "year",
            _ => self.name(),
        }
    }

    /// The group of a value; none if unknown. The error is the expected form.
    pub(super) fn group(self, value: &str) -> Result<Option<String>, &'static str> {
        if value.is_empty() {
            return Ok(None);
        }
        let found = match self {
            Self::Site | Self::Scanner => Some(value.to_owned()),
            Self::View => {
                let known = View::ALL.into_iter().find(|view| view.name().eq_ignore_ascii_case(value));
                Some(known.ok_or("PA, AP, LL, RL or nothing")?.name().to_owned())
            }
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
                const DATE: &str = "a past date (YYYY, YYYY-MM, YYYY-MM-DD or YYYYMMDD) or nothing";
                Some(year(value, first_future_day()).ok_or(DATE)?)
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

/// The year of a date whose day, month or year begins before `end`.
fn year(date: &str, end: Date) -> Option<String> {
    let (first, rest) = match date.split_once('-') {
        Some((first, rest)) => (first, rest.split('-').collect()),
        None if date.len() == 8 && date.is_ascii() => (&date[..4], vec![&date[4..6], &date[6..]]),
        None => (date, Vec::new()),
    };
    let number = |part: &str, length: usize| {
        let fits = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u16>().ok().filter(|_| fits)
    };
    let part = |at: usize| rest.get(at).map_or(Some(1), |part| number(part, 2));
    let (month, day) = (u8::try_from(part(0)?).ok()?, u8::try_from(part(1)?).ok()?);
    let start = Date::from_calendar_date(number(first, 4)?.into(), Month::try_from(month).ok()?, day).ok()?;
    (rest.len() <= 2 && start.year() >= FIRST_YEAR && start < end).then(|| first.to_owned())
}

/// The first day that has not begun in any time zone.
fn first_future_day() -> Date {
    OffsetDateTime::now_utc().date().saturating_add(Duration::days(2))
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
        assert_eq!(group(Column::View, "pa").as_deref(), Some("PA"));
        assert_eq!(group(Column::Sex, "female").as_deref(), Some("F"));
        assert_eq!((group(Column::Sex, "U"), group(Column::Site, "")), (None, None));
        let wrong =
            ["30.5.2021", "2022-13", "2022-02-30", "20221301", "2022-1", "2022-01-01-01", "1066", "2999"];
        let wrong = wrong.map(|date| (Column::Date, date));
        for (column, value) in wrong.into_iter().chain([
            (Column::Age, "adult"),
            (Column::Age, "-1"),
            (Column::Sex, "x"),
            (Column::View, "lateral"),
        ]) {
            assert!(column.group(value).is_err(), "{value}");
        }
    }
}
