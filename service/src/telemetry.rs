//! What operators see: logs and metrics. No request body, token, file name or query string passes through here.

mod labels;
pub mod log_output;
pub mod logs;
pub mod metrics;
mod process;
pub mod throttle;
