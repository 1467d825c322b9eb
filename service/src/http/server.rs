//! Connections: accepted, given their time-outs, served with HTTP/1 or HTTP/2, and drained when the process ends.

use super::lingering::{DrainLimits, LingeringBody};
use super::tls::{Tls, TlsError};
use crate::config::http::HttpConfig;
use crate::telemetry::logs::chain;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

/// After the system refused a connection for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Streams of one HTTP/2 connection.
const MAX_CONCURRENT_STREAMS: u32 = 100;

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

/// Accepts connections until `shutdown` completes; returns those that are still open, for the caller to drain.
///
/// # Errors
/// When TLS is asked for and its files cannot be used.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &HttpConfig,
    entrance: Entrance,
    shutdown: impl Future<Output = ()>,
) -> Result<GracefulShutdown, TlsError> {
    let server = Arc::new(Server::new(router, config, entrance)?);
    if let Some(tls) = &server.tls {
        tokio::spawn(Arc::clone(tls).keep_fresh());
    }
    let graceful = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (server, watcher) = (Arc::clone(&server), graceful.watcher());
                tokio::spawn(async move { server.connection(stream, watcher).await });
            }
            Err(error) => {
                tracing::warn!(cause = chain(&error), "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    Ok(graceful)
}

struct Server {
    router: Router,
    builder: Builder<TokioExecutor>,
    head_timeout: Duration,
    drain: DrainLimits,
    tls: Option<Arc<Tls>>,
    entrance: Entrance,
}

impl Server {
    fn new(router: Router, config: &HttpConfig, entrance: Entrance) -> Result<Self, TlsError> {
        let head_timeout = config.header_timeout_ms.duration();
        let mut builder = Builder::new(TokioExecutor::new());
        // Not half-closed: a client that has sent its image and closes has hung up, and frees its place.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(head_timeout).half_close(false);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
            .keep_alive_interval(head_timeout)
            .keep_alive_timeout(head_timeout);
        let drain = DrainLimits {
            bytes: config.lingering_drain_bytes,
            duration: config.lingering_drain_ms.duration(),
        };
        let tls = config.tls.as_ref().filter(|_| entrance != Entrance::Operators);
        let tls = tls.map(Tls::load).transpose()?.map(Arc::new);
        Ok(Self { router, builder, head_timeout, drain, tls, entrance })
    }

    async fn connection(&self, stream: TcpStream, watcher: Watcher) {
        // Answers are small and awaited.
        drop(stream.set_nodelay(true));
        let Some(tls) = &self.tls else { return self.requests(stream, watcher).await };
        match tokio::time::timeout(self.head_timeout, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => self.requests(stream, watcher).await,
            Ok(Err(error)) => tracing::debug!(cause = chain(&error), "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake did not end in time"),
        }
    }

    async fn requests(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, watcher: Watcher) {
        let begun = Arc::new(AtomicBool::new(false));
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            begun.store(true, Ordering::Relaxed);
            self.router.clone().oneshot(self.lingering(request))
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let mut served = pin!(watcher.watch(connection));
        // The protocol is told from the first bytes, and that wait has no time-out of its own.
        let first = tokio::time::timeout(self.head_timeout, served.as_mut()).await;
        if first.is_err() && begun.load(Ordering::Relaxed) {
            drop(served.await);
        }
    }

    fn lingering(&self, request: Request<Incoming>) -> Request<Body> {
        let expects_continue = request.headers().contains_key(header::EXPECT);
        let mut request =
            request.map(|body| Body::new(LingeringBody::new(body, self.drain, expects_continue)));
        request.extensions_mut().insert(self.entrance);
        request
    }
}
