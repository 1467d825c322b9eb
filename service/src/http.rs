//! The HTTP API: routes, extractors, middleware and API description. Only this module knows status codes.
//!
//! What checks a request, in order:
//!
//! 1. `middleware/target`, `access`: path, one host, route, token, scope, rate limit of the client.
//! 2. `extract` (in the order of a handler's parameters): deadline, idempotency key, then a slot of the
//!    client and of the service. All of this happens before the body is read.
//! 3. `extract/upload`: media type, length, memory for the upload, then the body.
//! 4. `pipeline`: from here on, every outcome has an audit row, except a retry that is replayed or refused.

mod describe;
mod error;
mod extract;
#[cfg(fuzzing)]
pub mod fuzzing;
mod middleware;
mod problem;
mod receipt;
mod record;
mod routes;

pub use error::REFUSAL_CODES;
pub use middleware::access::AccessError;
pub use middleware::delay::ResponseDelays;
pub use middleware::observe::LogThrottles;
pub use routes::MetricsPage;

use crate::auth::Verifier;
use crate::config::cors::CorsConfig;
use crate::memory::Budget;
use crate::net;
use crate::pipeline::{ImageSlots, Pipeline};
use crate::quota::Quotas;
use crate::readiness::Readiness;
use crate::results::Results;
use crate::serving::Reloader;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use axum::Extension;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use middleware::access::{self, AccessTable};
use middleware::{cors, observe, response_headers, target};
use routes::docs;
use std::sync::Arc;
use std::time::Duration;
use tower::util::{BoxCloneSyncService, MapRequest};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi as Document;

pub struct Api {
    pub pipeline: Arc<Pipeline>,
    pub store: Arc<Store>,
    /// Rate limits and slots per client.
    pub quotas: Arc<Quotas>,
    /// Memory for uploads, reserved before the body is read.
    pub uploads: Budget,
    /// Slots for images in flight.
    pub slots: Arc<ImageSlots>,
    pub verifier: Arc<Verifier>,
    pub readiness: Arc<Readiness>,
    pub reloader: Arc<Reloader>,
    /// Results of monitoring.
    pub results: Arc<Results>,
    pub deadlines: Deadlines,
    pub metrics: Arc<Metrics>,
    pub log_throttles: LogThrottles,
    pub cors: CorsConfig,
    pub delays: ResponseDelays,
    pub metrics_page: MetricsPage,
    /// How long a client may take to send its body.
    pub body_timeout: Duration,
}

/// Time from a request's head within which the model must start.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Without `X-Request-Timeout-Ms`.
    pub default: Duration,
    /// Upper bound of `X-Request-Timeout-Ms`.
    pub max: Duration,
}

/// Bodies other than uploads are JSON of a few hundred bytes.
const MAX_JSON_BYTES: usize = 16 << 10;

type Shared = Arc<Api>;

pub fn document() -> Document {
    describe::complete(routes::all().into_openapi())
}

/// The routes with their middleware, outermost last.
pub fn service(api: Shared) -> Result<net::Service, AccessError> {
    let (routes, document) = routes::all().split_for_parts();
    let document = describe::complete(document);
    let access = Arc::new(AccessTable::from_document(&document)?);
    let text = docs::Text::new(&document);
    let routes = routes
        .merge(docs::swagger())
        .fallback(error::unknown_route)
        // Uploads have their own limit, in bytes of the image (extract/upload.rs, extract/multipart.rs).
        .layer(DefaultBodyLimit::max(MAX_JSON_BYTES))
        .layer(Extension(text))
        // No handler runs without the access that its description declares.
        .layer(from_fn_with_state((Arc::clone(&api), access), access::authorise));
    // Outside of access control: a preflight has no token.
    let routes = match cors::layer(&api.cors) {
        Some(layer) => routes.layer(layer),
        None => routes,
    };
    let routes = routes
        .layer(CatchPanicLayer::custom(observe::panicked))
        // Counts, logs and formats every answer, refusals and panics included.
        .layer(from_fn_with_state(Arc::clone(&api), observe::observe))
        .layer(response_headers::of_answers())
        .with_state(api);
    // Around the router, because its own layers run after routing.
    Ok(BoxCloneSyncService::new(MapRequest::new(routes, target::without_slash)))
}

#[cfg(test)]
mod tests;
