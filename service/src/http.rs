//! The HTTP surface: routes, middleware, and the only place that knows status codes and the API description.

mod access;
mod activity;
mod address;
mod admission;
mod audit;
mod connection;
mod cors;
mod docs;
mod error;
mod exposition;
mod fhir;
#[cfg(fuzzing)]
pub mod fuzzing;
mod headers;
mod health;
mod labels;
mod late;
mod lingering;
mod media;
mod model;
mod multipart;
mod observe;
mod once;
mod places;
mod predictions;
mod query;
mod receipt;
mod record;
mod refusals;
mod reload;
mod retry;
mod search;
pub mod server;
mod subject;
mod target;
mod timeout;
mod tls;
mod unread;
mod upload;

pub use access::AccessError;
pub use exposition::Exposition;
pub use late::Lateness;
pub use observe::Lines;
pub use tls::{TlsError, certificate_expiry};

use crate::auth::{Scope, Verifier};
use crate::config::cors::CorsConfig;
use crate::memory::Budget;
use crate::pipeline::{Gate, Pipeline};
use crate::quota::Quotas;
use crate::readiness::Readiness;
use crate::serving::Reloader;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use access::AccessTable;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};
use std::sync::Arc;
use std::time::Duration;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What the handlers work with.
pub struct Api {
    /// Predictions.
    pub pipeline: Arc<Pipeline>,
    /// Reads of the audit log, and labels.
    pub store: Arc<Store>,
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
    pub lines: Lines,
    /// Which web pages may call it.
    pub cors: CorsConfig,
    /// Holds back what senders provoke too fast.
    pub lateness: Lateness,
    /// The text of `/metrics`.
    pub exposition: Exposition,
    /// How long a client may take to send its body.
    pub body_timeout: Duration,
}

/// How long after its head a request may wait for the model to begin.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Where it says nothing.
    pub usual: Duration,
    /// The most that it may say.
    pub longest: Duration,
}

/// A body that is no image has a few hundred bytes.
const MAX_STATEMENT_BYTES: usize = 16 << 10;

/// Handlers share one.
type Shared = Arc<Api>;

/// The causes that refusals before admission are counted under.
pub const REFUSAL_CAUSES: &[&str] = error::REFUSAL_CODES;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "cxr",
        description = "Reads chest radiographs for pneumonia and returns calibrated, audited predictions. \
            Errors are problem documents (RFC 9457); docs/ERRORS.md lists them."
    ),
    modifiers(&BearerScheme)
)]
struct Described;

struct BearerScheme;

impl Modify for BearerScheme {
    fn modify(&self, document: &mut Document) {
        let scopes: Vec<String> =
            Scope::ALL.iter().map(|(scope, what)| format!("`{}`: {what}", scope.name())).collect();
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("JWT".into());
        scheme.description =
            Some(format!("A JWT from the configured issuer. Scopes: {}.", scopes.join("; ")));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme(access::SCHEME, SecurityScheme::Http(scheme));
    }
}

/// Every route, each with its description: there is no other way to add one.
fn described() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(predictions::create, search::search))
        .routes(routes!(predictions::find))
        .routes(routes!(labels::create, labels::list))
        .routes(routes!(audit::checkpoint))
        .routes(routes!(audit::inclusion))
        .routes(routes!(audit::consistency))
        .routes(routes!(model::show))
        .routes(routes!(reload::reload))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(docs::openapi))
}

/// The API description.
pub fn document() -> Document {
    completed(described().into_openapi())
}

/// With what holds for every route, and is not said again at each.
fn completed(mut document: Document) -> Document {
    refusals::describe(&mut document);
    headers::describe(&mut document);
    document
}

/// The router with its middleware, outermost last.
///
/// # Errors
/// When a route declares no access, or is public without being listed as such.
pub fn router(api: Shared) -> Result<Router, AccessError> {
    let (routes, document) = described().split_for_parts();
    let document = completed(document);
    let access = Arc::new(AccessTable::from_document(&document)?);
    let text = docs::Text::new(&document);
    let routes = routes
        .merge(docs::swagger())
        .fallback(error::unknown_route)
        // Uploads have their own limit, in bytes of the image (http/upload.rs, http/multipart.rs).
        .layer(DefaultBodyLimit::max(MAX_STATEMENT_BYTES))
        .layer(Extension(text))
        // Nothing below runs without the access that its description declares.
        .layer(from_fn_with_state((Arc::clone(&api), access), access::authorise));
    // A browser asks without a token whether it may ask.
    let routes = match cors::layer(&api.cors) {
        Some(layer) => routes.layer(layer),
        None => routes,
    };
    Ok(routes
        // Everything above, refusals and panics included, is counted, logged and answered in one form.
        .layer(from_fn_with_state(Arc::clone(&api), observe::observe))
        .with_state(api))
}

#[cfg(test)]
mod tests;
