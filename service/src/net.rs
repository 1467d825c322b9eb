//! Connections: accept loop, connection slots, TLS, timeouts and drain. It does not know the routes: `app`
//! passes in the service of `http`.

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
pub use server::{ListenerRole, OpenConnections, Service, accept_loop};
pub(crate) use slots::Connection;
pub use tls::{TlsError, certificate_expiry};
