//! `service.telemetry`: how the log is written.

use super::problem::Problem;
use super::require;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For eyes.
    Text,
}

/// Logs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Form of a log line.
    pub log_format: LogFormat,
    /// What is logged, as directives: `info`, `warn,cxr_service=debug`.
    pub log_filter: String,
}

impl TelemetryConfig {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let parses = EnvFilter::try_new(&self.log_filter).is_ok();
        let advice = "use a level such as info, or directives such as warn,cxr_service=debug";
        require(problems, parses, "telemetry.log_filter", "not a log filter", advice);
    }
}
