//! Queries: read strictly. A parameter that cannot be read is named, with what it takes; its value is repeated nowhere.

use crate::http::error::ApiError;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error};

/// Parameters, each with what it takes.
pub(crate) type Takes = &'static [(&'static str, &'static str)];

/// Reads a query.
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

/// Fails when a value is given that is none of those that there are.
pub(crate) fn one_of(parameter: &'static str, value: Option<&str>, known: &[&str]) -> Result<(), ApiError> {
    if value.is_none_or(|value| known.contains(&value)) {
        return Ok(());
    }
    Err(ApiError::Parameter { parameter, takes: format!("one of {}", known.join(", ")).into() })
}

/// A switch, as clients of every language write it; nothing at all is off.
pub(crate) fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() {
        return Ok(false);
    }
    parse_switch(&text).ok_or_else(|| D::Error::custom("no switch"))
}

/// A switch that may be left out.
pub(crate) fn optional_switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_switch(&text).map(Some).ok_or_else(|| D::Error::custom("no switch"))
}

fn parse_switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// What a statement says: a form sends fields that nobody filled in as empty ones.
pub(crate) fn filled(text: String) -> Option<String> {
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Asked {
        #[serde(deserialize_with = "switch")]
        explain: bool,
        limit: Option<u8>,
    }

    const TAKES: Takes = &[("explain", "true or false"), ("limit", "a number")];

    #[test]
    fn what_cannot_be_read_is_named_and_not_repeated() {
        let asked = |query| read::<Asked>(Some(query), TAKES);
        for (query, explain) in [
            ("", false),
            ("explain=True", true),
            ("explain=1", true),
            ("explain=NO", false),
            ("explain=", false),
        ] {
            assert_eq!(asked(query).unwrap(), Asked { explain, limit: None }, "{query}");
        }
        assert!(matches!(asked("limit=Mary"), Err(ApiError::Parameter { parameter: "limit", .. })));
        assert!(matches!(asked("explain=perhaps"), Err(ApiError::Parameter { parameter: "explain", .. })));
        for query in ["Mary=1", "limit=1&limit=2"] {
            assert!(matches!(asked(query), Err(ApiError::Query { .. })), "{query}");
        }
    }
}
