//! The endpoints, one noun a file. Each declares its description and with it its access: there is no other way to add one.

mod audit;
pub(super) mod docs;
mod health;
mod labels;
mod metrics;
mod model;
mod predictions;
mod reload;
mod search;

pub use metrics::MetricsPage;

use super::{Shared, describe};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Every route.
pub(super) fn all() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(describe::head())
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
