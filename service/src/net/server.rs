//! The accept loop: gives each connection a slot and, where configured, TLS; drains the open ones at
//! shutdown.

use super::address::Peer;
use super::connection::{ConnectionServer, Protocol};
use super::slots::{Connection, ConnectionSlot, ConnectionSlots, NoSlot, SLOT_WAIT};
use super::tls::{Tls, TlsError};
use super::write_timeout::WriteTimeout;
use crate::config::http::HttpConfig;
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::{ConnectionEnd, Metrics};
use axum::extract::Request;
use axum::response::Response;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::util::BoxCloneSyncService;

/// Pause after `accept` failed, usually because file descriptors or memory ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The application: answers the requests of all connections.
pub type Service = BoxCloneSyncService<Request, Response, Infallible>;

/// Which routes a listener serves; an extension of each request that arrives on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerRole {
    /// All: it is the only listener.
    Both,
    /// Those for clients; a second listener serves operators.
    Clients,
    Operators,
}

/// Connections that were open when the listener closed.
pub struct OpenConnections {
    shutdown: CancellationToken,
    /// Closed when the last connection drops its sender; nothing is ever sent.
    ended: mpsc::Receiver<()>,
}

impl OpenConnections {
    /// Waits for the requests in flight, then closes the connections.
    pub async fn drain(mut self) {
        self.shutdown.cancel();
        let _ = self.ended.recv().await;
    }
}

/// Accepts connections until `stop` completes; returns the open ones for the caller to drain.
pub async fn accept_loop(
    listener: TcpListener,
    service: Service,
    config: &HttpConfig,
    role: ListenerRole,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()>,
) -> Result<OpenConnections, TlsError> {
    let server = Arc::new(Server::new(service, config, role, metrics)?);
    if let Some(tls) = &server.tls {
        tokio::spawn(Arc::clone(tls).keep_fresh());
    }
    let (open, ended) = mpsc::channel::<()>(1);
    let shutdown = CancellationToken::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let peer = Peer::of(peer);
                // Takes the slot before the next connection is accepted.
                let slot = server.slots.acquire(peer);
                let (server, shutdown, open) = (Arc::clone(&server), shutdown.clone(), open.clone());
                tokio::spawn(async move {
                    server.serve_connection(stream, peer, slot, &shutdown).await;
                    drop(open);
                });
            }
            Err(error) => {
                tracing::warn!(cause = chain(&error), "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    Ok(OpenConnections { shutdown, ended })
}

struct Server {
    connections: ConnectionServer,
    slots: Arc<ConnectionSlots>,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
}

impl Server {
    fn new(
        service: Service,
        config: &HttpConfig,
        role: ListenerRole,
        metrics: Arc<Metrics>,
    ) -> Result<Self, TlsError> {
        let own = config.operations_tls.as_ref().filter(|_| role == ListenerRole::Operators);
        let files = match own {
            Some(files) => Some(("service.http.operations_tls", files)),
            None => config.tls.as_ref().map(|files| ("service.http.tls", files)),
        };
        let tls = files.map(|(key, files)| Tls::load(key, files, Arc::clone(&metrics))).transpose()?;
        Ok(Self {
            connections: ConnectionServer::new(service, config, role),
            slots: ConnectionSlots::new(
                config.max_connections.get(),
                config.max_connections_per_address.get(),
            ),
            tls: tls.map(Arc::new),
            metrics,
        })
    }

    async fn serve_connection(
        &self,
        stream: TcpStream,
        peer: Peer,
        slot: Result<ConnectionSlot, NoSlot>,
        shutdown: &CancellationToken,
    ) {
        let slot = match slot {
            Ok(slot) => Ok(slot),
            // A client that is turned away at once would reconnect at once.
            Err(no_slot) => self.wait_for_slot(peer, no_slot, shutdown).await,
        };
        let ended = match slot {
            Ok(slot) => self.serve_in_slot(stream, &slot.connection, shutdown).await,
            Err(NoSlot::Full) => Some(ConnectionEnd::NoSlot),
            Err(NoSlot::PerAddress) => Some(ConnectionEnd::AddressLimit),
        };
        if let Some(cause) = ended {
            self.metrics.connection_ended(cause);
        }
    }

    async fn wait_for_slot(
        &self,
        peer: Peer,
        no_slot: NoSlot,
        shutdown: &CancellationToken,
    ) -> Result<ConnectionSlot, NoSlot> {
        let _waiting = self.slots.wait().ok_or(no_slot)?;
        tokio::select! {
            () = tokio::time::sleep(SLOT_WAIT) => self.slots.acquire_after_wait(peer),
            () = shutdown.cancelled() => Err(no_slot),
        }
    }

    /// Returns the cause if the service closed the connection.
    async fn serve_in_slot(
        &self,
        stream: TcpStream,
        connection: &Arc<Connection>,
        shutdown: &CancellationToken,
    ) -> Option<ConnectionEnd> {
        let _counted = self.metrics.connected();
        // Answers are small, and clients wait for them.
        drop(stream.set_nodelay(true));
        let stream = WriteTimeout::new(stream, self.connections.write_timeout);
        let Some(tls) = &self.tls else {
            return self.connections.serve_requests(stream, Protocol::Detect, connection, shutdown).await;
        };
        let handshake = tokio::time::timeout(self.connections.head_timeout, tls.acceptor().accept(stream));
        let handshake = tokio::select! {
            done = handshake => done,
            cause = connection.closed() => return Some(cause),
            () = shutdown.cancelled() => return None,
        };
        match handshake {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let protocol = if http2 { Protocol::Http2 } else { Protocol::Detect };
                self.connections.serve_requests(stream, protocol, connection, shutdown).await
            }
            Ok(Err(error)) => {
                tracing::debug!(cause = chain(&error), "TLS handshake failed");
                Some(ConnectionEnd::Tls)
            }
            Err(_) => Some(ConnectionEnd::Tls),
        }
    }
}
