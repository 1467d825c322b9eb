//! `service.http`: the listener and how long a client may take.

use super::cors::CorsConfig;
use super::problem::Problem;
use super::require;
use super::units::Milliseconds;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

/// The HTTP server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port to listen on; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// A second address for `/metrics` and what needs the scope `admin`, which the first one then does not serve.
    pub operations_bind: Option<SocketAddr>,
    /// TLS on both addresses; null where it ends in front of the service.
    pub tls: Option<TlsConfig>,
    /// Other files for the second address.
    pub operations_tls: Option<TlsConfig>,
    /// Which web pages may call the API from a browser.
    pub cors: CorsConfig,
    /// Connections at a time, of each listener.
    pub max_connections: NonZeroUsize,
    /// Of these, connections from one address.
    pub max_connections_per_address: NonZeroUsize,
    /// Refusals that one client gets at once, in a second; those beyond are held back.
    pub refusals_per_second: NonZeroU32,
    /// The most that a refusal is held back; 0 never holds one back.
    pub refusal_delay_ms: Milliseconds,
    /// A client must have sent its request head by then; also how long an idle connection is kept.
    pub header_timeout_ms: Milliseconds,
    /// A client must have sent its request body by then.
    pub body_timeout_ms: Milliseconds,
    /// A client must take something of its answer by then.
    pub write_timeout_ms: Milliseconds,
    /// How long requests in flight may take to end after SIGTERM.
    pub shutdown_grace_ms: Milliseconds,
    /// How much of a refused body is read and thrown away, so that the client gets the answer and not a reset.
    pub lingering_drain_bytes: u64,
    /// How long that may take.
    pub lingering_drain_ms: Milliseconds,
}

/// Files of TLS, in PEM.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The service's certificate, and those between it and its authority.
    pub certificate_file: PathBuf,
    /// Its private key.
    pub private_key_file: PathBuf,
    /// Authorities of which clients must show a certificate; none is asked for where absent.
    pub client_authorities_file: Option<PathBuf>,
}

impl HttpConfig {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        self.cors.check(problems);
        let timeouts = [
            ("http.header_timeout_ms", self.header_timeout_ms),
            ("http.body_timeout_ms", self.body_timeout_ms),
            ("http.write_timeout_ms", self.write_timeout_ms),
            ("http.shutdown_grace_ms", self.shutdown_grace_ms),
            ("http.lingering_drain_ms", self.lingering_drain_ms),
        ];
        for (key, value) in timeouts {
            require(problems, value.is_timeout(), key, "out of range", "use 1 to 3600000 milliseconds");
        }
        let same = self.operations_bind.is_some_and(|bind| bind.port() != 0 && bind == self.bind);
        let advice = "use another address or port, or null";
        require(problems, !same, "http.operations_bind", "the same as http.bind", advice);
        let alone = self.operations_tls.is_some() && self.operations_bind.is_none();
        let advice = "set http.operations_bind, or set this to null";
        require(problems, !alone, "http.operations_tls", "set, but http.operations_bind is not", advice);
        let connections = self.max_connections.get() <= 1_000_000;
        let advice = "use a number that the process has file descriptors for";
        require(problems, connections, "http.max_connections", "more than 1000000", advice);
        let advice = "use 0 to 60000 milliseconds: clients do not wait longer";
        let delay = self.refusal_delay_ms.0 <= 60_000;
        require(problems, delay, "http.refusal_delay_ms", "out of range", advice);
    }
}
