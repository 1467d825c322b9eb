//! One connection: HTTP/1 or HTTP/2 with explicit limits, watched for clients that say nothing or do not read their answers.

use super::body_drain::{DrainLimits, LingeringBody};
use super::idle::{Idleness, PublicAnswer};
use super::server::{Entrance, Service};
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

/// Header fields of an HTTP/1 head; more are answered 431.
const MAX_HEADERS: usize = 64;
/// An HTTP/1 head, and what is read or written ahead: above the library's longest URI, so that a longer one is told from a large head.
const MAX_BUFFER_BYTES: usize = 128 << 10;
/// Header fields of an HTTP/2 request together: a token and what proxies add.
const MAX_HEADER_LIST_BYTES: u32 = 64 << 10;
/// Streams of one HTTP/2 connection. Few of those without a token are worked on at a time (http/places.rs).
const MAX_CONCURRENT_STREAMS: u32 = 32;
/// What one HTTP/2 stream holds of an answer that its client does not take.
const MAX_SEND_BUFFER_BYTES: usize = 32 << 10;

/// Times a connection is looked at within the shorter of its time-outs.
const LOOKS: u32 = 10;

/// What the client may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    /// What its first bytes say.
    Either,
    /// HTTP/2, as the TLS handshake agreed: anything else is no valid preface (RFC 9113, 3.4).
    Http2,
}

/// What every connection of one address is served with.
pub(super) struct Connections {
    service: Service,
    builder: Builder<TokioExecutor>,
    http2: Builder<TokioExecutor>,
    head_timeout: Duration,
    write_timeout: Duration,
    drain: DrainLimits,
    entrance: Entrance,
}

impl Connections {
    pub(super) fn new(service: Service, config: &HttpConfig, entrance: Entrance) -> Self {
        let head_timeout = config.header_timeout_ms.duration();
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_BUFFER_BYTES)
            // A client that has sent its image and closes has hung up, and frees its place.
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
        Self { service, builder, http2, head_timeout, write_timeout, drain, entrance }
    }

    /// Serves requests until the client closes, it must be ended, or `over` is cancelled and what is under way has ended. Why the
    /// service ended it, where it did.
    pub(super) async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        spoken: Spoken,
        connected: &Arc<Connection>,
        over: &CancellationToken,
    ) -> Option<ConnectionEnd> {
        let activity = &connected.activity;
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            let call = activity.call(request.version());
            let answer = self.service.clone().oneshot(self.prepared(request, connected));
            async move {
                answer.await.map(|mut response| {
                    let public = response.extensions_mut().remove::<PublicAnswer>();
                    response.map(|body| Body::new(call.answering(body, public)))
                })
            }
        });
        let builder = match spoken {
            Spoken::Either => &self.builder,
            Spoken::Http2 => &self.http2,
        };
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut look = tokio::time::interval(self.head_timeout.min(self.write_timeout) / LOOKS);
        let (mut told_to_end, mut found_idle) = (false, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    let idle = found_idle.then_some(ConnectionEnd::Silent);
                    return ended.err().and_then(|error| cause(&*error)).or(idle);
                }
                cause = connected.ended() => return Some(cause),
                () = over.cancelled(), if !told_to_end => {
                    told_to_end = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = look.tick() => match activity.idleness(
                    if found_idle { self.write_timeout } else { self.head_timeout },
                    self.write_timeout,
                ) {
                    Idleness::None => {}
                    Idleness::NotReading => return Some(ConnectionEnd::NotReading),
                    Idleness::NoRequest => return Some(ConnectionEnd::Silent),
                    // Told, so that a request that is just being sent is sent again elsewhere; cut, if it stays.
                    Idleness::BetweenRequests if found_idle => return Some(ConnectionEnd::NotReading),
                    Idleness::BetweenRequests => {
                        found_idle = true;
                        activity.begin_again();
                        connection.as_mut().graceful_shutdown();
                    }
                },
            }
        }
    }

    fn prepared(&self, request: Request<Incoming>, connected: &Arc<Connection>) -> Request<Body> {
        let expects_continue = request.headers().contains_key(header::EXPECT);
        let mut request =
            request.map(|body| Body::new(LingeringBody::new(body, self.drain, expects_continue)));
        request.extensions_mut().insert(self.entrance);
        request.extensions_mut().insert(connected.peer);
        request.extensions_mut().insert(Arc::clone(connected));
        request
    }
}

/// Why a connection ended with an error, where that was the service's doing.
fn cause(error: &(dyn Error + 'static)) -> Option<ConnectionEnd> {
    let mut causes = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    let late = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    if causes.any(|error| error.downcast_ref::<io::Error>().is_some_and(late)) {
        return Some(ConnectionEnd::NotReading);
    }
    match error.downcast_ref::<hyper::Error>()? {
        error if error.is_timeout() => Some(ConnectionEnd::Silent),
        error if error.is_parse_too_large() => Some(ConnectionEnd::HeadTooLarge),
        error if error.is_parse() => Some(ConnectionEnd::Malformed),
        _ => None,
    }
}
