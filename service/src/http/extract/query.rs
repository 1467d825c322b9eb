//! Query strings, parsed strictly. The error names the parameter and the values it takes, never the value
//! sent, which could be a patient's name.

use crate::http::error::ApiError;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error};

/// Parameters, each with the values it takes.
pub(crate) type Takes = &'static [(&'static str, &'static str)];

pub(crate) fn read<T: DeserializeOwned>(query: Option<&str>, takes: Takes) -> Result<T, ApiError> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs)).map_err(|error| {
        let path = error.path().to_string();
        match takes.iter().find(|(parameter, _)| *parameter == path) {
            Some((parameter, takes)) => ApiError::Parameter { parameter, takes: (*takes).into() },
            None => ApiError::Query { parameters: takes.iter().map(|(parameter, _)| *parameter).collect() },
        }
    })
}

/// Checks that the value, if given, is one of `known`.
pub(crate) fn one_of(parameter: &'static str, value: Option<&str>, known: &[&str]) -> Result<(), ApiError> {
    if value.is_none_or(|value| known.contains(&value)) {
        return Ok(());
    }
    Err(ApiError::Parameter { parameter, takes: format!("one of {}", known.join(", ")).into() })
}

/// A boolean in the spellings of common languages; empty means false.
pub(crate) fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() {
        return Ok(false);
    }
    parse_boolean(&text).ok_or_else(|| D::Error::custom("not a boolean"))
}

pub(crate) fn optional_boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_boolean(&text).map(Some).ok_or_else(|| D::Error::custom("not a boolean"))
}

fn parse_boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// `None` for an empty value, which is what a form sends for a field left blank.
pub(crate) fn filled(text: String) -> Option<String> {
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Parameters {
        #[serde(deserialize_with = "boolean")]
        explain: bool,
        limit: Option<u8>,
    }

    const TAKES: Takes = &[("explain", "true or false"), ("limit", "a number")];

    #[test]
    fn an_unreadable_parameter_is_named_without_its_value() {
        let parse = |query| read::<Parameters>(Some(query), TAKES);
        for (query, explain) in [
            ("", false),
            ("explain=True", true),
            ("explain=1", true),
            ("explain=NO", false),
            ("explain=", false),
        ] {
            assert_eq!(parse(query).unwrap(), Parameters { explain, limit: None }, "{query}");
        }
        assert!(matches!(parse("limit=Mary"), Err(ApiError::Parameter { parameter: "limit", .. })));
        assert!(matches!(parse("explain=perhaps"), Err(ApiError::Parameter { parameter: "explain", .. })));
        for query in ["Mary=1", "limit=1&limit=2"] {
            assert!(matches!(parse(query), Err(ApiError::Query { .. })), "{query}");
        }
    }
}
