//! Connections: accept loop, connection slots, TLS, timeouts and drain. Knows nothing of routes: `http`
//! passes in its service.

mod address;
mod body_drain;
mod connection;
mod idle;
mod server;
mod slots;
mod tls;
mod write_timeout;

pub(crate) use address::{AddressBlock, Peer};
pub(crate) use idle::PublicResponsePermit;
pub use server::{ListenerRole, OpenConnections, Service, serve};
pub(crate) use slots::Connection;
pub use tls::{TlsError, certificate_expiry};
