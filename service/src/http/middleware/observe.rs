//! The outermost middleware: request id, trace, problem documents, and one log line, the metrics and the span
//! of every request.

use crate::auth::Actor;
use crate::http::Shared;
use crate::http::error::{ApiError, REFUSAL_CODES};
use crate::http::problem::Problem;
use crate::net::{Connection, ListenerRole, Peer};
use crate::telemetry::throttle::{Line, Throttle};
use crate::telemetry::traces::{RequestTrace, TraceContext};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use time::OffsetDateTime;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The status that nginx logs for a client that disconnected before its answer; never sent.
const CLIENT_GONE: u16 = 499;

/// The route of a request without one.
const UNMATCHED: &str = "unmatched";

const SECURITY_LOG: &str = "cxr_service::security";

/// Polled every few seconds; a success is logged at DEBUG.
const PROBED: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Id and time of a request; an extension of the request.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) request_id: String,
    pub(crate) at: OffsetDateTime,
    pub(crate) started: Instant,
    pub(crate) trace: Arc<RequestTrace>,
    /// The actor, once the token was accepted.
    actor: Arc<OnceLock<String>>,
}

impl Arrival {
    pub(crate) fn set_actor(&self, actor: &Actor) {
        drop(self.actor.set(actor.sub().to_owned()));
    }
}

/// Bounds the log lines that clients can cause at will. The bounds are separate, so that a flood without
/// tokens does not hide what a client with a token did.
#[derive(Debug, Default)]
pub struct LogThrottles {
    anonymous_refusals: Throttle,
    client_refusals: Throttle,
    public: Throttle,
}

pub(crate) async fn observe(
    State(api): State<Shared>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let (at, started) = (OffsetDateTime::now_utc(), Instant::now());
    let matched = path.as_ref().map(MatchedPath::as_str);
    // Probes without a trace of their own would be most of the traces.
    let sampled = !matched.is_some_and(|route| PROBED.contains(&route));
    let client = trace_context(request.headers());
    let trace = RequestTrace::begin(client, sampled, (started, at.into()), api.exporter.as_ref());
    let request_id = request_id(request.headers());
    let arrival = Arrival { request_id, at, started, trace: Arc::new(trace), actor: Arc::default() };
    let peer = request.extensions().get().map(|Peer(address)| address.to_string());
    request.extensions_mut().insert(arrival.clone());
    let route = matched.unwrap_or(UNMATCHED).to_owned();
    let method = method_label(request.method());
    let connection = request.extensions().get::<Arc<Connection>>().cloned();
    let role = request.extensions().get().copied().unwrap_or(ListenerRole::Both);
    let mut record = RequestRecord {
        api: Arc::clone(&api),
        route,
        method,
        arrival,
        peer,
        status: CLIENT_GONE,
        problem: None,
    };
    let response = record.end(next.run(request).await);
    let Some(connection) = connection else { return response };
    let delay = api.delays.delay(&connection, role, record.actor(), record.refusal().is_some());
    // Log and count now, not after the delay.
    drop(record);
    api.delays.apply(response, delay, &connection).await
}

/// The answer after a panic, which the panic hook has logged.
pub(crate) fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::Failed { row: None }.into_response()
}

/// A request in flight; logged and counted when dropped, so that a request whose client disconnected counts
/// too.
struct RequestRecord {
    api: Shared,
    route: String,
    method: &'static str,
    arrival: Arrival,
    peer: Option<String>,
    status: u16,
    problem: Option<Problem>,
}

impl RequestRecord {
    fn end(&mut self, response: Response) -> Response {
        // A 404 of the API browser becomes a problem document, too.
        let bare =
            response.status() == StatusCode::NOT_FOUND && response.extensions().get::<Problem>().is_none();
        let mut response = if bare { ApiError::UnknownRoute.into_response() } else { response };
        self.status = response.status().as_u16();
        self.problem = response.extensions_mut().remove::<Problem>();
        if let Some(problem) = &mut self.problem {
            problem.request_id.clone_from(&self.arrival.request_id);
            problem.write_to(&mut response);
        }
        if let Ok(value) = HeaderValue::from_str(&self.arrival.request_id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        if let Ok(value) = HeaderValue::from_str(&self.arrival.trace.traceparent()) {
            response.headers_mut().insert(TRACEPARENT, value);
        }
        response
    }

    /// The code of a refusal before admission.
    fn refusal(&self) -> Option<&str> {
        self.problem.as_ref().map(Problem::code).filter(|code| REFUSAL_CODES.contains(code))
    }

    fn export_span(&self, problem: Option<&str>) {
        let route = Some(self.route.as_str()).filter(|route| *route != UNMATCHED);
        let answered = Some(self.status).filter(|status| *status != CLIENT_GONE);
        let error = match answered {
            None => Some("client_gone"),
            Some(status) if status >= 500 => Some(problem.unwrap_or("internal")),
            Some(_) => None,
        };
        self.arrival.trace.server_span(route, self.method, answered, error);
    }

    fn actor(&self) -> Option<&str> {
        self.arrival.actor.get().map(String::as_str)
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let (route, method, status) = (self.route.as_str(), self.method, self.status);
        let (request_id, duration) = (self.arrival.request_id.as_str(), self.arrival.started.elapsed());
        let duration_ms = duration.as_micros() as f64 / 1e3;
        let problem = self.problem.as_ref().map(Problem::code);
        let trace = &self.arrival.trace;
        self.api.metrics.request(route, method, status, duration, trace.exemplar());
        self.export_span(problem);
        let trace_id = trace.id();
        let (actor, throttles) = (self.actor(), &self.api.log_throttles);
        if let Some(code) = self.refusal() {
            self.api.metrics.refused(code);
            let throttle =
                if actor.is_some() { &throttles.client_refusals } else { &throttles.anonymous_refusals };
            let Line::Written { left_out } = throttle.line() else { return };
            let detail = self.problem.as_ref().map(|problem| problem.detail.as_str());
            let peer = self.peer.as_deref();
            tracing::warn!(
                target: SECURITY_LOG, request_id, trace_id, route, method, status, problem, detail, peer, actor,
                duration_ms, left_out, "refused"
            );
        } else if status == 200 && PROBED.contains(&route) {
            tracing::debug!(request_id, trace_id, route, method, status, duration_ms, "request");
        } else if actor.is_some() {
            tracing::info!(request_id, trace_id, route, method, status, problem, duration_ms, "request");
        } else if let Line::Written { left_out } = throttles.public.line() {
            tracing::info!(
                request_id,
                trace_id,
                route,
                method,
                status,
                problem,
                duration_ms,
                left_out,
                "request"
            );
        }
    }
}

/// The client's id if it is a UUID. It is echoed, logged and stored, and free text could be a patient's
/// number.
fn request_id(headers: &HeaderMap) -> String {
    let stated = headers.get(REQUEST_ID).and_then(|value| Uuid::parse_str(value.to_str().ok()?).ok());
    stated.unwrap_or_else(Uuid::new_v4).to_string()
}

/// The client's trace. More than one `traceparent` is none; several `tracestate` are one list.
fn trace_context(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    let states = headers.get_all(TRACESTATE).iter();
    let states: Option<Vec<&str>> = states.map(|value| value.to_str().ok()).collect();
    TraceContext::parse(parent.to_str().ok()?, &states.unwrap_or_default().join(","))
}

/// The method as a label of metrics: a closed list, since the client chooses the text.
fn method_label(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use std::task::Poll;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    #[tokio::test]
    async fn a_panic_is_answered_with_500() {
        let routes: Router = Router::new()
            .fallback(|| std::future::poll_fn(|_| -> Poll<()> { panic!("a handler") }))
            .layer(CatchPanicLayer::custom(panicked));
        let response = routes.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.extensions().get::<Problem>().map(Problem::code), Some("internal"));
    }

    #[test]
    fn only_a_uuid_is_accepted_as_a_request_id() {
        let id = |value: &str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_str(value).unwrap())]);
            request_id(&headers)
        };
        let uuid = "0b3f4c7e-9a51-4d4e-8f6e-1f2f3c4d5e6f";
        assert_eq!(id(uuid), uuid);
        assert_eq!(id(&uuid.to_uppercase()), uuid);
        for refused in ["", "MRN-0012345", "two words", "1.2.840.113619.2.1", &"x".repeat(65)] {
            assert!(Uuid::parse_str(&id(refused)).is_ok() && id(refused) != refused, "{refused}");
        }
    }
}
