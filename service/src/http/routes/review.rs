//! `GET /v1/review-sample`: images that were drawn to be read, and have no label.

use super::{Paging, page_of};
use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::AuditedRead;
use crate::store::DrawnImage;
use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// An image to read. It comes without the decision, which would sway the reader.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SampledImage {
    /// Id of the audit row, for `POST /v1/predictions/{id}/labels`.
    prediction_id: Uuid,
    /// When the request arrived.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    received_at: OffsetDateTime,
    /// Site, as in audit rows.
    site: String,
    /// Slice of the stream it was drawn from.
    slice: String,
    /// Version of the bundle that answered.
    version: Option<String>,
    /// Variant that answered.
    variant: Option<String>,
    /// The stratum it was drawn from.
    stratum: String,
    /// Probability (0 to 1) with which it was drawn.
    inclusion_probability: f64,
}

/// One page of images to read, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SamplePage {
    /// The images.
    items: Vec<SampledImage>,
    /// Value of `cursor` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Uuid>,
}

/// The review sample: drawn images without a label.
///
/// Their answers did not require a review. Read all of them, whatever they show: performance by labels is
/// weighted by the probability with which they were drawn.
#[utoipa::path(
    get,
    path = "/v1/review-sample",
    operation_id = "getReviewSample",
    tag = "monitoring",
    params(Paging),
    security(("bearer" = ["audit:read"])),
    responses(
        (status = 200, description = "The images; the read is recorded", body = SamplePage),
        (status = 400, description = "Malformed query"),
        (status = 503, description = "Audit log unavailable"),
    )
)]
pub(crate) async fn sample(
    State(api): State<Shared>,
    read: AuditedRead,
    RawQuery(query): RawQuery,
) -> Result<Json<SamplePage>, ApiError> {
    let (cursor, limit) = Paging::read(query.as_deref())?;
    let drawn = api.store.reader.unread_sample(cursor, limit + 1).await?;
    let (drawn, next) = page_of(drawn, limit, |image| image.prediction_id);
    let query = json!({ "review_sample": true, "cursor": cursor });
    read.record(&api.store, query, Some(drawn.len() as u64)).await?;
    let items = drawn.into_iter().map(SampledImage::from).collect();
    Ok(Json(SamplePage { items, next }))
}

impl From<DrawnImage> for SampledImage {
    fn from(image: DrawnImage) -> Self {
        let DrawnImage {
            prediction_id,
            received_at,
            site,
            slice,
            model_version: version,
            variant,
            stratum,
            inclusion_probability,
        } = image;
        Self { prediction_id, received_at, site, slice, version, variant, stratum, inclusion_probability }
    }
}
