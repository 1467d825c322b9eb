//! Where a service that was started listens.

use std::net::SocketAddr;

/// The address, where this line of its log says it.
pub(crate) fn listening(line: &str) -> Option<SocketAddr> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = event.get("fields").unwrap_or(&event);
    (fields["message"] == "listening").then(|| fields["address"].as_str()?.parse().ok())?
}
