//! Connections: accepted up to a bound, given TLS where it is configured, and drained when the process ends.

use super::address::Peer;
use super::connection::{Connections, Spoken};
use super::slots::{Connection, NoRoom, Place, Places, WAITS_FOR_ROOM};
use super::tls::{Tls, TlsError};
use super::write_timeout::Impatient;
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

/// After the system refused a connection for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers the requests of all connections.
pub type Service = BoxCloneSyncService<Request, Response, Infallible>;

/// Which address a request came to; in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// The only one.
    Only,
    /// The one for clients, beside one for operators.
    Clients,
    /// The one for operators.
    Operators,
}

/// Connections that were open when the listener closed.
pub struct Open {
    over: CancellationToken,
    /// Nothing is sent: each connection holds the other end.
    ended: mpsc::Receiver<()>,
}

impl Open {
    /// Lets every request that is under way end, and every connection with it.
    pub async fn shutdown(mut self) {
        self.over.cancel();
        let _ = self.ended.recv().await;
    }
}

/// Accepts connections until `shutdown` completes; returns those that are still open, for the caller to drain.
///
/// # Errors
/// When TLS is asked for and its files cannot be used.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    config: &HttpConfig,
    entrance: Entrance,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) -> Result<Open, TlsError> {
    let server = Arc::new(Server::new(service, config, entrance, metrics)?);
    if let Some(tls) = &server.tls {
        tokio::spawn(Arc::clone(tls).keep_fresh());
    }
    let (open, ended) = mpsc::channel::<()>(1);
    let over = CancellationToken::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connected = server.connected(stream, Peer::of(peer), over.clone());
                let open = open.clone();
                tokio::spawn(async move {
                    connected.await;
                    drop(open);
                });
            }
            Err(error) => {
                tracing::warn!(cause = chain(&error), "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    Ok(Open { over, ended })
}

struct Server {
    connections: Connections,
    places: Arc<Places>,
    head_timeout: Duration,
    write_timeout: Duration,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
}

impl Server {
    fn new(
        service: Service,
        config: &HttpConfig,
        entrance: Entrance,
        metrics: Arc<Metrics>,
    ) -> Result<Self, TlsError> {
        let own = config.operations_tls.as_ref().filter(|_| entrance == Entrance::Operators);
        let files = match own {
            Some(files) => Some(("service.http.operations_tls", files)),
            None => config.tls.as_ref().map(|files| ("service.http.tls", files)),
        };
        let tls = files.map(|(key, files)| Tls::load(key, files, Arc::clone(&metrics))).transpose()?;
        Ok(Self {
            connections: Connections::new(service, config, entrance),
            places: Places::new(config.max_connections.get(), config.max_connections_per_address.get()),
            head_timeout: config.header_timeout_ms.duration(),
            write_timeout: config.write_timeout_ms.duration(),
            tls: tls.map(Arc::new),
            metrics,
        })
    }

    /// What becomes of a new connection: it has its place when this returns, or waits for one.
    fn connected(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: Peer,
        over: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (server, place) = (Arc::clone(self), self.places.enter(peer));
        async move {
            let place = match place {
                Ok(place) => Ok(place),
                // Closing at once would invite the next attempt at once.
                Err(no_room) => server.room(peer, no_room, &over).await,
            };
            match place {
                Ok(place) => server.serve(stream, &place.connection, &over).await,
                Err(NoRoom::Full) => server.metrics.connection_ended(ConnectionEnd::NoPlace),
                Err(NoRoom::Site) => server.metrics.connection_ended(ConnectionEnd::AddressLimit),
            }
        }
    }

    /// Waits a moment for room.
    async fn room(&self, peer: Peer, no_room: NoRoom, over: &CancellationToken) -> Result<Place, NoRoom> {
        let _waiting = self.places.wait().ok_or(no_room)?;
        tokio::select! {
            () = tokio::time::sleep(WAITS_FOR_ROOM) => self.places.enter_after_waiting(peer),
            () = over.cancelled() => Err(no_room),
        }
    }

    async fn serve(&self, stream: TcpStream, connection: &Arc<Connection>, over: &CancellationToken) {
        let _counted = self.metrics.connected();
        // Answers are small and awaited.
        drop(stream.set_nodelay(true));
        let stream = Impatient::new(stream, self.write_timeout);
        let ended = match &self.tls {
            None => self.connections.serve(stream, Spoken::Either, connection, over).await,
            Some(tls) => self.encrypted(tls, stream, connection, over).await,
        };
        if let Some(cause) = ended {
            self.metrics.connection_ended(cause);
        }
    }

    async fn encrypted(
        &self,
        tls: &Tls,
        stream: Impatient<TcpStream>,
        connection: &Arc<Connection>,
        over: &CancellationToken,
    ) -> Option<ConnectionEnd> {
        let handshake = tokio::time::timeout(self.head_timeout, tls.acceptor().accept(stream));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            cause = connection.ended() => return Some(cause),
            () = over.cancelled() => return None,
        };
        match shaken {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let spoken = if http2 { Spoken::Http2 } else { Spoken::Either };
                self.connections.serve(stream, spoken, connection, over).await
            }
            Ok(Err(error)) => {
                tracing::debug!(cause = chain(&error), "TLS handshake failed");
                Some(ConnectionEnd::Tls)
            }
            Err(_) => Some(ConnectionEnd::Tls),
        }
    }
}
