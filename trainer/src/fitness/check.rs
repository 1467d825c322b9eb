//! One gate, checked.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub what: String,
    pub asked: String,
    pub found: String,
    pub outcome: Outcome,
}

/// How a figure compares with its gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Met,
    /// Measured, and short of what is asked.
    Failed,
    /// The data is too small to tell; says how much more it takes.
    NotEnough(String),
    /// Not measured; says what measures it.
    NotMeasured(String),
}

impl Outcome {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Met => "met".to_owned(),
            Self::Failed => "not met".to_owned(),
            Self::NotEnough(more) => format!("not enough data: {more}"),
            Self::NotMeasured(how) => format!("not shown: {how}"),
        }
    }
}
