//! `service.http`: the listeners and their limits.

use super::cors::CorsConfig;
use super::error::Findings;
use super::values::{Bounded, Millis, Timeout};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port to listen on; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// Second address, for `/metrics` and routes with the scope `admin`; `bind` then does not serve them.
    pub operations_bind: Option<SocketAddr>,
    /// TLS on both addresses; null: plain HTTP.
    pub tls: Option<TlsConfig>,
    /// TLS files for the second address; null: the files of `tls`.
    pub operations_tls: Option<TlsConfig>,
    pub cors: CorsConfig,
    pub max_connections: Bounded<usize, 1, 1_000_000>,
    pub max_connections_per_address: NonZeroUsize,
    /// Refusals a second that one client gets without delay.
    pub refusals_per_second: NonZeroU32,
    pub refusal_delay_ms: Millis<0, 60_000>,
    /// Time limit for a request head, and for an idle connection.
    pub header_timeout_ms: Timeout,
    pub body_timeout_ms: Timeout,
    /// The connection is closed if the client reads nothing of its answer for this long.
    pub write_timeout_ms: Timeout,
    /// Time for requests in flight to finish after SIGTERM.
    pub shutdown_grace_ms: Timeout,
    /// How much of a refused body is discarded, so that the client gets the answer and not a reset.
    pub lingering_drain_bytes: u64,
    /// Time limit for that.
    pub lingering_drain_ms: Timeout,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    pub certificate_file: PathBuf,
    pub private_key_file: PathBuf,
    /// Authorities, one of which must have signed a client's certificate; null: clients need none.
    pub client_authorities_file: Option<PathBuf>,
}

impl HttpConfig {
    pub(super) fn check(&self, findings: &mut Findings<'_>) {
        let same = self.operations_bind.is_some_and(|bind| bind.port() != 0 && bind == self.bind);
        let advice = "use another address or port, or null";
        findings.require(!same, "http.operations_bind", "the same as http.bind", advice);
        let alone = self.operations_tls.is_some() && self.operations_bind.is_none();
        let advice = "set http.operations_bind, or set this to null";
        findings.require(!alone, "http.operations_tls", "set, but http.operations_bind is not", advice);
    }
}
