//! One gate, checked.

use serde::{Deserialize, Serialize};

/// One gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What is looked at.
    pub what: String,
    /// What is asked for, with its key.
    pub asked: String,
    /// What was found.
    pub found: String,
    /// How that compares.
    pub outcome: Outcome,
}

/// How a figure compares with its gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Shown.
    Met,
    /// Measured, and short of what is asked.
    Failed,
    /// The data is too small to tell; says how much more it takes.
    NotEnough(String),
    /// Not measured; says what measures it.
    NotMeasured(String),
}

impl Outcome {
    /// In a word or with what is missing.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Met => "met".to_owned(),
            Self::Failed => "not met".to_owned(),
            Self::NotEnough(more) => format!("not enough data: {more}"),
            Self::NotMeasured(how) => format!("not shown: {how}"),
        }
    }
}
