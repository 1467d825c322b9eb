//! Logs, metrics and traces. They never contain a request body, token, file name or query string.

mod labels;
pub mod log_output;
pub mod logs;
pub mod metrics;
mod process;
pub mod throttle;
pub mod traces;
