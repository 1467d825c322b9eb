//! The events of a run, one line of the spool each.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::path::PathBuf;
use time::OffsetDateTime;

/// Names and texts.
pub type Texts = BTreeMap<String, String>;

/// One line of the spool. It says everything that its delivery needs, so that sending it twice changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The run itself; always the first line.
    Run {
        /// Identifies it everywhere; a server is asked for it before a run is created.
        id: String,
        /// Human name.
        name: String,
        /// When it began, milliseconds since 1970.
        time_ms: i64,
        /// Tags that it is created with.
        tags: Texts,
    },
    /// Parameters; each is said once and never changed.
    Parameters {
        /// By name.
        values: Texts,
    },
    /// Tags; later ones replace earlier ones.
    Tags {
        /// By name.
        values: Texts,
    },
    /// Values measured at one time.
    Metrics {
        /// Milliseconds since 1970.
        time_ms: i64,
        /// The epoch, 0 for what belongs to no epoch.
        step: i64,
        /// By name.
        values: BTreeMap<String, Number>,
    },
    /// A file as it is when it is sent.
    Artefact {
        /// Name below the run's artefacts.
        name: String,
        /// Where it is; relative to the run directory or absolute.
        file: PathBuf,
        /// Its digest when this was written, by which an unchanged file is known.
        sha256: String,
    },
    /// A bundle that becomes a version of a registered model.
    Version(ModelVersion),
    /// How the run stands.
    Status {
        /// New status.
        status: Status,
        /// Milliseconds since 1970.
        time_ms: i64,
    },
}

/// A bundle that becomes a version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelVersion {
    /// The registered model.
    pub model: String,
    /// Alias that points to the version afterwards.
    pub alias: String,
    /// The bundle's folder, absolute.
    pub folder: PathBuf,
    /// Digest of the bundle: the same bundle is never registered twice.
    pub bundle_sha256: String,
    /// Semantic version.
    pub version: String,
    /// Digest of the default variant's graph: one semantic version has one.
    pub graph_sha256: String,
    /// Tags of the version, [`VERSION_TAG`], [`BUNDLE_TAG`], [`GRAPH_TAG`] and [`ANSWERS_TAG`] among them.
    pub tags: Texts,
}

/// Tag of a model version: the bundle's semantic version.
pub const VERSION_TAG: &str = "cxr_version";
/// Tag of a model version: the bundle's digest.
pub const BUNDLE_TAG: &str = "cxr_bundle_sha256";
/// Tag of a model version: digest of its graph.
pub const GRAPH_TAG: &str = "cxr_graph_sha256";
/// Tag of a model version: the bundle's name.
pub const NAME_TAG: &str = "cxr_name";
/// Tag of a model version: digest of everything that decides its answers.
pub const ANSWERS_TAG: &str = "cxr_answers_sha256";
/// Tag of a run: [`Event::Run::id`](Event::Run).
pub const RUN_TAG: &str = "cxr_run";

/// Status of a run, as MLflow names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// In training.
    Running,
    /// Ended as it should.
    Finished,
    /// Ended by an error.
    Failed,
}

impl Status {
    /// MLflow's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
        }
    }

    /// MLflow's number, which its file store holds.
    pub const fn number(self) -> u8 {
        match self {
            Self::Running => 1,
            Self::Finished => 3,
            Self::Failed => 4,
        }
    }
}

/// A measured value. JSON has no NaN: it and the infinities are texts, by the names that MLflow reads.
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
        enum Written {
            Finite(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Finite(value) => Ok(Self(value)),
            Written::Text(text) => text.parse().map(Self).map_err(serde::de::Error::custom),
        }
    }
}

/// The time as MLflow counts it: milliseconds since 1970.
pub fn now_ms() -> i64 {
    (OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_json_even_those_that_are_none() {
        for value in [0.1, -3e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let text = serde_json::to_string(&Number(value)).unwrap();
            let Number(read) = serde_json::from_str(&text).unwrap();
            assert!(read.to_bits() == value.to_bits() || read.is_nan() && value.is_nan(), "{text}");
        }
    }
}
/// The verdict of the gates, on runs and versions.
pub const VERDICT_TAG: &str = "cxr_verdict";
