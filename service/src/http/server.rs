//! Connections: accepted up to a bound, given TLS where it is configured, and drained when the process ends.

use super::connection::{Connections, Peer};
use super::tls::{Tls, TlsError};
use super::unread::Impatient;
use crate::config::http::HttpConfig;
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::{ConnectionEnd, Metrics};
use axum::Router;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// After the system refused a connection for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    places: Arc<Semaphore>,
    n_places: usize,
}

impl Open {
    /// Lets every request that is under way end, and every connection with it.
    pub async fn shutdown(self) {
        self.over.cancel();
        drop(self.places.acquire_many(u32::try_from(self.n_places).unwrap_or(u32::MAX)).await);
    }
}

/// Accepts connections until `shutdown` completes; returns those that are still open, for the caller to drain.
///
/// # Errors
/// When TLS is asked for and its files cannot be used.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &HttpConfig,
    entrance: Entrance,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) -> Result<Open, TlsError> {
    let server = Arc::new(Server::new(router, config, entrance, metrics)?);
    if let Some(tls) = &server.tls {
        tokio::spawn(Arc::clone(tls).keep_fresh());
    }
    let n_places = config.max_connections.get();
    let open = Open { over: CancellationToken::new(), places: Arc::new(Semaphore::new(n_places)), n_places };
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            // Closed at once when all places are taken: who waits in the system's queue learns nothing, and probes wait with him.
            Ok((stream, peer)) => match Arc::clone(&open.places).try_acquire_owned() {
                Ok(place) => {
                    let (server, over) = (Arc::clone(&server), open.over.clone());
                    tokio::spawn(async move {
                        server.connection(stream, peer, &over).await;
                        drop(place);
                    });
                }
                Err(_) => server.metrics.connection_ended(ConnectionEnd::NoPlace),
            },
            Err(error) => {
                tracing::warn!(cause = chain(&error), "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    Ok(open)
}

struct Server {
    connections: Connections,
    head_timeout: Duration,
    write_timeout: Duration,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
}

impl Server {
    fn new(
        router: Router,
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
            connections: Connections::new(router, config, entrance),
            head_timeout: config.header_timeout_ms.duration(),
            write_timeout: config.write_timeout_ms.duration(),
            tls: tls.map(Arc::new),
            metrics,
        })
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr, over: &CancellationToken) {
        let _counted = self.metrics.connected();
        // Answers are small and awaited.
        drop(stream.set_nodelay(true));
        let (stream, peer) = (Impatient::new(stream, self.write_timeout), Peer::of(peer));
        let ended = match &self.tls {
            None => self.connections.serve(stream, peer, over).await,
            Some(tls) => self.encrypted(tls, stream, peer, over).await,
        };
        if let Some(cause) = ended {
            self.metrics.connection_ended(cause);
        }
    }

    async fn encrypted(
        &self,
        tls: &Tls,
        stream: Impatient<TcpStream>,
        peer: Peer,
        over: &CancellationToken,
    ) -> Option<ConnectionEnd> {
        let handshake = tokio::time::timeout(self.head_timeout, tls.acceptor().accept(stream));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = over.cancelled() => return None,
        };
        match shaken {
            Ok(Ok(stream)) => self.connections.serve(stream, peer, over).await,
            Ok(Err(error)) => {
                tracing::debug!(cause = chain(&error), "a TLS handshake failed");
                Some(ConnectionEnd::Tls)
            }
            Err(_) => Some(ConnectionEnd::Tls),
        }
    }
}
