//! The events of a run, one line of the spool each.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::path::PathBuf;
use time::OffsetDateTime;

/// Names and values of tags or parameters.
pub type StringMap = BTreeMap<String, String>;

/// One line of the spool. It is self-contained and idempotent: sending it twice changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    Run {
        /// Looked up in the store before a run is created.
        id: String,
        name: String,
        /// Milliseconds since 1970.
        time_ms: i64,
        tags: StringMap,
    },
    /// A parameter is recorded once and never changed.
    Parameters {
        values: StringMap,
    },
    /// Later values replace earlier ones.
    Tags {
        values: StringMap,
    },
    /// Values measured at one time (milliseconds since 1970). Step 0 stands for no epoch.
    Metrics {
        time_ms: i64,
        step: i64,
        values: BTreeMap<String, Number>,
    },
    /// A file, read when it is sent. `name` is its path in the store.
    Artefact {
        name: String,
        /// Relative to the run directory, or absolute.
        file: PathBuf,
        /// Digest when the event was recorded; identifies unchanged files.
        sha256: String,
    },
    Version(ModelVersion),
    Status {
        status: Status,
        time_ms: i64,
    },
}

/// A bundle to register as a version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelVersion {
    /// The registered model and the alias to move to this version.
    pub model: String,
    pub alias: String,
    pub folder: PathBuf,
    /// A bundle is never registered twice.
    pub bundle_sha256: String,
    pub version: String,
    /// Graph of the default variant. A semantic version has only one.
    pub graph_sha256: String,
    pub tags: StringMap,
}

pub const VERSION_TAG: &str = "cxr_version";
pub const BUNDLE_TAG: &str = "cxr_bundle_sha256";
pub const GRAPH_TAG: &str = "cxr_graph_sha256";
pub const NAME_TAG: &str = "cxr_name";
/// Digest of everything that determines the answers.
pub const ANSWERS_TAG: &str = "cxr_answers_sha256";
/// [`Event::Run::id`](Event::Run), as a tag of the run.
pub const RUN_TAG: &str = "cxr_run";
pub const VERDICT_TAG: &str = "cxr_verdict";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    Running,
    Finished,
    Failed,
}

impl Status {
    /// MLflow's number for it in its file store.
    pub const fn number(self) -> u8 {
        match self {
            Self::Running => 1,
            Self::Finished => 3,
            Self::Failed => 4,
        }
    }
}

/// A measured value. JSON has no NaN or infinities; they are written as strings that MLflow can read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => serializer.serialize_f64(value),
            value if value.is_nan() => serializer.serialize_str("NaN"),
            value if value > 0.0 => serializer.serialize_str("Infinity"),
            _ => serializer.serialize_str("-Infinity"),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Json {
            Number(f64),
            Text(String),
        }
        match Json::deserialize(deserializer)? {
            Json::Number(value) => Ok(Self(value)),
            Json::Text(text) => text.parse().map(Self).map_err(serde::de::Error::custom),
        }
    }
}

pub fn now_ms() -> i64 {
    (OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_json_including_nan_and_infinities() {
        for value in [0.1, -3e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let text = serde_json::to_string(&Number(value)).unwrap();
            let Number(read) = serde_json::from_str(&text).unwrap();
            assert!(read.to_bits() == value.to_bits() || read.is_nan() && value.is_nan(), "{text}");
        }
    }
}
