//! `service.telemetry`: how the log is written.

use super::values::{Checked, Rule, ensure, rules};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    pub log_format: LogFormat,
    /// What is logged, as directives: `info`, `warn,cxr_service=debug`.
    pub log_filter: Checked<LogFilter>,
}

rules! {
    LogFilter(String): "use a level such as info, or directives such as warn,cxr_service=debug",
        |directives| ensure(EnvFilter::try_new(directives).is_ok(), "not a log filter");
}
