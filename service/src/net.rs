//! Connections: accepted up to a bound, given TLS where it is configured, timed, and drained at the end. What is said over them is
//! `http`'s business, which hands in its service.

mod address;
mod body_drain;
mod connection;
mod idle;
mod server;
mod slots;
mod tls;
mod write_timeout;

pub(crate) use address::{Peer, Site};
pub(crate) use idle::PublicAnswer;
pub use server::{Entrance, Open, Service, serve};
pub(crate) use slots::Connection;
pub use tls::{TlsError, certificate_expiry};
