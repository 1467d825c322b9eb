//! The HTTP surface: routes, middleware, and the only place that knows status codes and the API description.

mod describe;
mod error;
mod extract;
#[cfg(fuzzing)]
pub mod fuzzing;
mod middleware;
mod receipt;
mod record;
mod routes;

pub use middleware::access::AccessError;
pub use middleware::delay::ResponseDelays;
pub use middleware::observe::LogThrottles;
pub use routes::MetricsPage;

use crate::auth::Verifier;
use crate::config::cors::CorsConfig;
use crate::memory::Budget;
use crate::net;
use crate::pipeline::{Gate, Pipeline};
use crate::quota::Quotas;
use crate::readiness::Readiness;
use crate::serving::Reloader;
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

/// What the handlers work with.
pub struct Api {
    /// Predictions and the audit log.
    pub pipeline: Arc<Pipeline>,
    /// What one client may ask for.
    pub quotas: Arc<Quotas>,
    /// Memory for bodies that are arriving or wait for their answer.
    pub uploads: Budget,
    /// The door.
    pub gate: Arc<Gate>,
    /// Tokens.
    pub verifier: Arc<Verifier>,
    /// Readiness.
    pub readiness: Arc<Readiness>,
    /// Takes over another bundle.
    pub reloader: Arc<Reloader>,
    /// How long requests may wait for the model.
    pub deadlines: Deadlines,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Bounds the lines of the log that a client could cause at will.
    pub log_throttles: LogThrottles,
    /// Which web pages may call it.
    pub cors: CorsConfig,
    /// Holds back what senders provoke too fast.
    pub delays: ResponseDelays,
    /// The text of `/metrics`.
    pub metrics_page: MetricsPage,
    /// How long a client may take to send its body.
    pub body_timeout: Duration,
}

/// How long after its head a request may wait for the model to begin.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Where it says nothing.
    pub default: Duration,
    /// The most that it may say.
    pub max: Duration,
}

/// A body that is no image has a few hundred bytes.
const MAX_JSON_BYTES: usize = 16 << 10;

/// Handlers share one.
type Shared = Arc<Api>;

/// The causes that refusals before admission are counted under.
pub const REFUSAL_CAUSES: &[&str] = error::REFUSAL_CODES;

/// The API description.
pub fn document() -> Document {
    describe::complete(routes::all().into_openapi())
}

/// The routes with their middleware, outermost last.
///
/// # Errors
/// When a route declares no access, or is public without being listed as such.
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
        // Nothing below runs without the access that its description declares.
        .layer(from_fn_with_state((Arc::clone(&api), access), access::authorise));
    // A browser asks without a token whether it may ask.
    let routes = match cors::layer(&api.cors) {
        Some(layer) => routes.layer(layer),
        None => routes,
    };
    let routes = routes
        .layer(CatchPanicLayer::custom(observe::panicked))
        // Everything above, refusals and panics included, is counted, logged and answered in one form.
        .layer(from_fn_with_state(Arc::clone(&api), observe::observe))
        .layer(response_headers::of_answers())
        .with_state(api);
    // A layer of the router would come after the choice of the route.
    Ok(BoxCloneSyncService::new(MapRequest::new(routes, target::without_slash)))
}

#[cfg(test)]
mod tests;
