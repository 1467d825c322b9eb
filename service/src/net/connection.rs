//! One connection: HTTP/1 or HTTP/2 with explicit limits and timeouts for clients that are idle or do not
//! read.

use super::body_drain::{DrainLimits, DrainingBody};
use super::idle::{Idleness, PublicResponsePermit};
use super::server::{ListenerRole, Service};
use super::slots::Connection;
use crate::config::http::HttpConfig;
use crate::telemetry::metrics::ConnectionEnd;
use axum::body::Body;
use axum::http::{Request, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Header fields of an HTTP/1 request; more are answered 431.
const MAX_HEADERS: usize = 64;
/// Largest HTTP/1 head, and the read and write buffers. Above hyper's longest URI (64 KiB), so that a URI
/// that is too long gets 414 and not 431.
const MAX_BUFFER_BYTES: usize = 128 << 10;
/// All header fields of one HTTP/2 request: a token and the headers of proxies.
const MAX_HEADER_LIST_BYTES: u32 = 64 << 10;
/// Streams of one HTTP/2 connection; slots.rs admits fewer requests without a token at a time.
const MAX_CONCURRENT_STREAMS: u32 = 32;
/// Bytes buffered for one HTTP/2 stream whose client does not read.
const MAX_SEND_BUFFER_BYTES: usize = 32 << 10;

/// How often a connection is checked for idleness, within its shortest timeout.
const CHECKS_PER_TIMEOUT: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Detected from the first bytes.
    Detect,
    /// HTTP/2, negotiated by ALPN: any other preface is invalid (RFC 9113, 3.4).
    Http2,
}

/// Serves the connections of one listener.
pub(super) struct ConnectionServer {
    service: Service,
    builder: Builder<TokioExecutor>,
    http2: Builder<TokioExecutor>,
    pub(super) head_timeout: Duration,
    pub(super) write_timeout: Duration,
    drain: DrainLimits,
    role: ListenerRole,
}

impl ConnectionServer {
    pub(super) fn new(service: Service, config: &HttpConfig, role: ListenerRole) -> Self {
        let head_timeout = config.header_timeout_ms.duration();
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_BUFFER_BYTES)
            // A client that closes after sending its image has disconnected and frees its slot.
            .half_close(false);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
            .keep_alive_interval(head_timeout)
            .keep_alive_timeout(head_timeout);
        let drain = DrainLimits {
            bytes: config.lingering_drain_bytes,
            duration: config.lingering_drain_ms.duration(),
        };
        let write_timeout = config.write_timeout_ms.duration();
        let http2 = builder.clone().http2_only();
        Self { service, builder, http2, head_timeout, write_timeout, drain, role }
    }

    /// Serves requests until the client closes, the service closes, or `shutdown` is cancelled and the
    /// requests in flight are answered. Returns the cause if the service closed the connection.
    pub(super) async fn serve_requests(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        protocol: Protocol,
        connected: &Arc<Connection>,
        shutdown: &CancellationToken,
    ) -> Option<ConnectionEnd> {
        let requests = &connected.requests;
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            let in_flight = requests.begin(request.version());
            let answer = self.service.clone().oneshot(self.prepare(request, connected));
            async move {
                answer.await.map(|mut response| {
                    let public = response.extensions_mut().remove::<PublicResponsePermit>();
                    response.map(|body| Body::new(in_flight.answered(body, public)))
                })
            }
        });
        let builder = match protocol {
            Protocol::Detect => &self.builder,
            Protocol::Http2 => &self.http2,
        };
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut check = tokio::time::interval(self.head_timeout.min(self.write_timeout) / CHECKS_PER_TIMEOUT);
        let (mut shutting_down, mut closing_idle) = (false, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    let idle = closing_idle.then_some(ConnectionEnd::Silent);
                    return ended.err().and_then(|error| cause(&*error)).or(idle);
                }
                cause = connected.closed() => return Some(cause),
                () = shutdown.cancelled(), if !shutting_down => {
                    shutting_down = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = check.tick() => match requests.idleness(
                    if closing_idle { self.write_timeout } else { self.head_timeout },
                    self.write_timeout,
                ) {
                    Idleness::Active => {}
                    Idleness::NotReading => return Some(ConnectionEnd::NotReading),
                    Idleness::NoRequest => return Some(ConnectionEnd::Silent),
                    // GOAWAY first, so that the client repeats a request that crosses it; then the close.
                    Idleness::BetweenRequests if closing_idle => return Some(ConnectionEnd::NotReading),
                    Idleness::BetweenRequests => {
                        closing_idle = true;
                        requests.restart_idle_timer();
                        connection.as_mut().graceful_shutdown();
                    }
                },
            }
        }
    }

    fn prepare(&self, request: Request<Incoming>, connected: &Arc<Connection>) -> Request<Body> {
        let expects_continue = request.headers().contains_key(header::EXPECT);
        let mut request =
            request.map(|body| Body::new(DrainingBody::new(body, self.drain, expects_continue)));
        request.extensions_mut().insert(self.role);
        request.extensions_mut().insert(connected.peer);
        request.extensions_mut().insert(Arc::clone(connected));
        request
    }
}

/// The cause, if a timeout or limit of the service led to the error.
fn cause(error: &(dyn Error + 'static)) -> Option<ConnectionEnd> {
    let mut causes = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    let timed_out = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    if causes.any(|error| error.downcast_ref::<io::Error>().is_some_and(timed_out)) {
        return Some(ConnectionEnd::NotReading);
    }
    match error.downcast_ref::<hyper::Error>()? {
        error if error.is_timeout() => Some(ConnectionEnd::Silent),
        error if error.is_parse_too_large() => Some(ConnectionEnd::HeadTooLarge),
        error if error.is_parse() => Some(ConnectionEnd::Malformed),
        _ => None,
    }
}
