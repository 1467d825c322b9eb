//! What operators see: logs and metrics. No request body, token, file name or query string passes through here.

pub mod logs;
pub mod metrics;
