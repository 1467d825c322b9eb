//! The endpoints, one file per noun. A route is added with its description, which also declares its access.

mod audit;
pub(super) mod docs;
mod health;
mod labels;
mod metrics;
mod model;
mod model_state;
mod monitoring;
mod operations;
mod paging;
mod predictions;
mod review;
mod search;

pub use metrics::MetricsPage;

use paging::{Paging, page_of};

use super::{Shared, describe};
use tower_http::compression::predicate::SizeAbove;
use tower_http::compression::{CompressionLayer, CompressionLevel};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

/// All routes. A new endpoint is a file beside this one, its `mod` line and a line here; its scope is part of
/// its description (`security`), and `describe` adds the errors that no handler returns.
pub(super) fn all() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(describe::base())
        .routes(routes!(predictions::create))
        .routes(routes!(search::search).layer(compression()))
        .routes(routes!(predictions::find))
        .routes(routes!(labels::create, labels::list))
        .routes(routes!(audit::checkpoint))
        .routes(routes!(audit::inclusion))
        .routes(routes!(audit::consistency))
        .routes(routes!(model::show))
        .routes(routes!(model::reload))
        .routes(routes!(model_state::set))
        .routes(routes!(monitoring::overview))
        .routes(routes!(monitoring::drift))
        .routes(routes!(monitoring::calibration))
        .routes(routes!(monitoring::performance))
        .routes(routes!(monitoring::alarms))
        .routes(routes!(monitoring::alarms::acknowledge))
        .routes(routes!(monitoring::alarms::resolve))
        .routes(routes!(review::sample))
        .routes(routes!(operations::list))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
        .routes(routes!(docs::openapi))
}

/// Gzip for audit rows, if the client accepts it; for nothing else (docs/decisions/0015).
fn compression() -> CompressionLayer<SizeAbove> {
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(SizeAbove::new(1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::extract::Request;
    use axum::http::header;
    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::BodyExt;
    use std::io;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_compressed_export_is_cut_when_the_database_fails() {
        let export = async || {
            let rows = Bytes::from(vec![b'x'; 1 << 20]);
            Body::from_stream(stream::iter([Ok(rows), Err(io::Error::other("the database failed"))]))
        };
        let routes: Router = Router::new().fallback(export).layer(compression());
        let mut request = Request::new(Body::empty());
        request.headers_mut().insert(header::ACCEPT_ENCODING, "gzip".parse().unwrap());
        let response = routes.oneshot(request).await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
        assert!(response.into_body().collect().await.is_err());
    }
}
