//! The outermost middleware: request id, problem documents, panics, one log line and the metrics of every request.

use crate::auth::Actor;
use crate::http::Shared;
use crate::http::error::{ApiError, Problem, REFUSAL_CODES};
use crate::net::{Connection, ListenerRole, Peer};
use crate::telemetry::throttle::{Line, Throttle};
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use time::OffsetDateTime;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What nginx notes for a client that went away before its answer; never sent.
const CLIENT_GONE: u16 = 499;

/// Target of the log lines about refusals.
const SECURITY_LOG: &str = "cxr_service::security";

/// What the platform asks for every few seconds: not worth a line while all is well.
const PROBED: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// When and under which name a request came in; in the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) request_id: String,
    pub(crate) at: OffsetDateTime,
    pub(crate) started: Instant,
    /// Who it turned out to be from.
    actor: Arc<OnceLock<String>>,
}

impl Arrival {
    /// The token was accepted.
    pub(crate) fn is_from(&self, actor: &Actor) {
        drop(self.actor.set(actor.subject().to_owned()));
    }
}

/// Bounds the lines that clients can cause at will. Each has a bound of its own, so that a flood by strangers hides nothing that a
/// client with a token did.
#[derive(Debug, Default)]
pub struct LogThrottles {
    /// Refusals of those without a token that was accepted.
    strangers: Throttle,
    /// Refusals of those with one.
    clients: Throttle,
    /// Answers to those without one.
    visitors: Throttle,
}

pub(crate) async fn observe(
    State(api): State<Shared>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let arrival = Arrival {
        request_id: request_id(request.headers()),
        at: OffsetDateTime::now_utc(),
        started: Instant::now(),
        actor: Arc::default(),
    };
    let peer = request.extensions().get().map(|Peer(address)| address.to_string());
    request.extensions_mut().insert(arrival.clone());
    let route = path.as_ref().map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = known(request.method());
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
    // Logged and counted when it was decided, not when it leaves.
    drop(record);
    api.delays.hold(response, delay, &connection).await
}

/// The answer after a panic, whose place the panic hook has logged.
pub(crate) fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::Failed { row: None }.into_response()
}

/// A request on its way; logged and counted when dropped, so that one whose client has gone is seen as well.
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
        // What a library refuses by itself gets our form too.
        let bare =
            response.status() == StatusCode::NOT_FOUND && response.extensions().get::<Problem>().is_none();
        let mut response = if bare { ApiError::UnknownRoute.into_response() } else { response };
        self.status = response.status().as_u16();
        self.problem = response.extensions_mut().remove::<Problem>();
        if let Some(problem) = &mut self.problem {
            problem.request_id.clone_from(&self.arrival.request_id);
            *response.body_mut() = Body::from(serde_json::to_vec(problem).unwrap_or_default());
            let media_type = HeaderValue::from_static("application/problem+json");
            response.headers_mut().insert(header::CONTENT_TYPE, media_type);
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        if let Ok(value) = HeaderValue::from_str(&self.arrival.request_id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }
}

impl RequestRecord {
    /// The code of a refusal before admission.
    fn refusal(&self) -> Option<&str> {
        self.problem.as_ref().map(Problem::code).filter(|code| REFUSAL_CODES.contains(code))
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
        self.api.metrics.request(route, method, status, duration);
        let (actor, lines) = (self.actor(), &self.api.log_throttles);
        if let Some(code) = self.refusal() {
            self.api.metrics.refused(code);
            let bound = if actor.is_some() { &lines.clients } else { &lines.strangers };
            let Line::Written { left_out } = bound.line() else { return };
            let detail = self.problem.as_ref().map(|problem| problem.detail.as_str());
            let peer = self.peer.as_deref();
            tracing::warn!(target: SECURITY_LOG, request_id, route, method, status, problem, detail, peer, actor, duration_ms, left_out, "refused");
        } else if status == 200 && PROBED.contains(&route) {
            tracing::debug!(request_id, route, method, status, duration_ms, "request");
        } else if actor.is_some() {
            tracing::info!(request_id, route, method, status, problem, duration_ms, "request");
        } else if let Line::Written { left_out } = lines.visitors.line() {
            tracing::info!(request_id, route, method, status, problem, duration_ms, left_out, "request");
        }
    }
}

/// The client's own id where it is a UUID: it is echoed, logged and stored, and anything freer could be a patient's number.
fn request_id(headers: &HeaderMap) -> String {
    let stated = headers.get(REQUEST_ID).and_then(|value| Uuid::parse_str(value.to_str().ok()?).ok());
    stated.unwrap_or_else(Uuid::new_v4).to_string()
}

/// A method is the client's text; a label may only be one of these.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
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
    fn only_a_uuid_is_taken_as_a_request_id() {
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
