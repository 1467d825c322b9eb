//! `GET /v1/predictions`: searches the audit log, page by page or as a streamed export. The read is recorded
//! before the answer begins.

mod fhir;

use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::headers::{Subject, SubjectHeader};
use crate::http::extract::{AuditedRead, query};
use crate::http::record::PredictionRecord;
use crate::pipeline::{CancelReason, Failure};
use crate::store::{Filter, LabelledPrediction, Page};
use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cxr::RejectReason;
use cxr::decide::{DecisionKind, DecisionReason};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{OffsetDateTime, UtcOffset};
use utoipa::ToSchema;
use uuid::Uuid;

const DEFAULT_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;
/// Rows that an export reads at a time.
const CHUNK: usize = 500;

/// Filters; a row must match all of them.
#[derive(Debug, Clone, Deserialize, Serialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchQuery {
    /// Only rows received at this time or later (RFC 3339).
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<OffsetDateTime>,
    /// Only rows received before this time (RFC 3339).
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<OffsetDateTime>,
    /// The `sub` of the token that sent the image.
    actor: Option<String>,
    /// Version of the model's bundle.
    model_version: Option<String>,
    /// SHA-256 of the bundle's manifest.
    bundle_digest: Option<String>,
    /// `predicted`, `rejected`, `expired` or `failed`.
    outcome: Option<String>,
    /// `positive`, `negative` or `refer`.
    decision: Option<String>,
    /// The rule that determined the decision, or why the row has no prediction.
    reason: Option<String>,
    /// Whether the image requires review by a radiologist.
    #[serde(default, deserialize_with = "query::optional_boolean")]
    review_required: Option<bool>,
    /// HMAC-SHA256 of the upload under the site's key, in hexadecimal.
    #[param(pattern = "^[0-9a-fA-F]{64}$")]
    input_digest: Option<String>,
    /// The `X-Request-Id` of the request that sent the image.
    request_id: Option<Uuid>,
    /// The current label: `positive` or `negative`.
    label: Option<String>,
    /// Only images that require review and have no label: the worklist.
    #[serde(default, deserialize_with = "query::boolean")]
    unreviewed: bool,
    /// `next` of the previous page.
    cursor: Option<Uuid>,
    /// Rows per page, 1 to 1000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `json` returns one page; `ndjson`, `csv` and `fhir` (R4 `AuditEvent`, one per line) stream all
    /// matching rows.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

const TAKES: query::Takes = &[
    ("from", "a time in RFC 3339, such as 2026-01-31T00:00:00Z"),
    ("to", "a time in RFC 3339, such as 2026-01-31T00:00:00Z"),
    ("actor", "the sub of a token"),
    ("model_version", "a version"),
    ("bundle_digest", "64 hexadecimal digits"),
    ("outcome", "one of predicted, rejected, expired, failed"),
    ("decision", "a decision"),
    ("reason", "a reason"),
    ("review_required", "true or false"),
    ("input_digest", "64 hexadecimal digits"),
    ("request_id", "a UUID"),
    ("label", "a label"),
    ("unreviewed", "true or false"),
    ("cursor", "the value of next in the previous page"),
    ("limit", "a number from 1 to 1000"),
    ("format", "one of json, ndjson, csv, fhir"),
];

/// Values of `outcome` (migrations/0002_expired_and_shadow.sql).
const OUTCOMES: [&str; 4] = ["predicted", "rejected", "expired", "failed"];
/// Values of `label`.
const LABELS: [&str; 2] = ["positive", "negative"];

/// Format of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Ndjson,
    Csv,
    Fhir,
}

/// One page of audit rows, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PredictionPage {
    /// Audit rows.
    items: Vec<PredictionRecord>,
    /// Value of `cursor` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Uuid>,
}

/// Search the audit log.
///
/// Rows are ordered by id, the newest first, so new rows do not shift the pages that follow.
#[utoipa::path(
    get,
    path = "/v1/predictions",
    operation_id = "searchPredictions",
    tag = "predictions",
    params(SearchQuery, SubjectHeader),
    security(("bearer" = ["audit:read"])),
    responses(
        (status = 200, description = "The audit rows; the read is recorded", content(
            (PredictionPage = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"), (String = "application/fhir+ndjson"))),
        (status = 400, description = "Malformed query"),
        (status = 503, description = "Audit log unavailable"),
    )
)]
pub(crate) async fn search(
    State(api): State<Shared>,
    read: AuditedRead,
    Subject(identifier): Subject,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query: SearchQuery = query::read(query.as_deref(), TAKES)?;
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(ApiError::Parameter { parameter: "limit", takes: "a number from 1 to 1000".into() });
    }
    let mut filter = query.filter()?;
    let (audit, store) = (&api.pipeline.audit, &api.store);
    if let Some(identifier) = &identifier {
        // An unknown patient has no pseudonym; the empty one matches no row.
        filter.subject = Some(audit.known_pseudonym(identifier).await?.unwrap_or_default());
    }
    let to_record = |found: bool| query.to_record(found, identifier.is_some());
    if query.format == Format::Json {
        // One row more than asked for tells whether there is a next page.
        let page = Page { before: query.cursor, limit: limit + 1 };
        let mut items: Vec<PredictionRecord> =
            store.reader.predictions(&filter, page).await?.into_iter().map(PredictionRecord::from).collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(PredictionRecord::id);
        read.record(store, to_record(!items.is_empty()), Some(items.len() as u64)).await?;
        return Ok(Json(PredictionPage { items, next }).into_response());
    }
    let any = store.reader.predictions(&filter, Page { before: query.cursor, limit: 1 }).await?;
    read.record(store, to_record(!any.is_empty()), None).await?;
    let media_type = match query.format {
        Format::Csv => "text/csv; charset=utf-8; header=present",
        Format::Fhir => fhir::MEDIA_TYPE,
        Format::Json | Format::Ndjson => "application/x-ndjson",
    };
    Ok(([(header::CONTENT_TYPE, media_type)], streamed(api, filter, query.cursor, query.format))
        .into_response())
}

impl SearchQuery {
    /// The query for `audit_reads`. Text that matched no row is replaced: it could be a patient's name.
    fn to_record(&self, found: bool, of_a_subject: bool) -> Value {
        let Ok(Value::Object(mut recorded)) = serde_json::to_value(self) else { return Value::Null };
        recorded.retain(|_, value| !value.is_null());
        if of_a_subject {
            recorded.insert("subject".into(), true.into());
        }
        let parsed = ["from", "to", "cursor", "format", "request_id", "input_digest"];
        for (name, value) in &mut recorded {
            if !found && value.is_string() && !parsed.contains(&name.as_str()) {
                *value = Value::from("(no such row)");
            }
        }
        recorded.into()
    }

    /// Refuses values that no row can have: an empty page would hide the mistake.
    fn filter(&self) -> Result<Filter, ApiError> {
        let rejections = RejectReason::ALL.map(RejectReason::code);
        let decisions = DecisionReason::ALL.map(DecisionReason::code);
        let cancellations = CancelReason::ALL.map(CancelReason::code);
        let reasons = [&rejections[..], &decisions, &cancellations, &Failure::CODES].concat();
        query::one_of("outcome", self.outcome.as_deref(), &OUTCOMES)?;
        query::one_of("decision", self.decision.as_deref(), &DecisionKind::ALL.map(DecisionKind::code))?;
        query::one_of("reason", self.reason.as_deref(), &reasons)?;
        query::one_of("label", self.label.as_deref(), &LABELS)?;
        let digest = self.input_digest.as_deref().map(digest).transpose()?;
        let texts = [&self.actor, &self.model_version, &self.bundle_digest];
        // Postgres text cannot contain it.
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(ApiError::Malformed("a query value contains a null character"));
        }
        let moment = |at: Option<OffsetDateTime>| {
            let utc = at.map(|at| at.checked_to_offset(UtcOffset::UTC));
            let beyond = ApiError::Malformed("from and to must be in the years 0 to 9999 (UTC)");
            utc.map(|at| at.filter(|at| at.year() >= 0).ok_or(beyond)).transpose()
        };
        Ok(Filter {
            from: moment(self.from)?,
            to: moment(self.to)?,
            actor: self.actor.clone(),
            model_version: self.model_version.clone(),
            bundle_digest: self.bundle_digest.clone(),
            outcome: self.outcome.clone(),
            decision: self.decision.clone(),
            reason: self.reason.clone(),
            review_required: self.review_required,
            input_digest: digest,
            request_id: self.request_id.map(|id| id.to_string()),
            label: self.label.clone(),
            subject: None,
            unreviewed: self.unreviewed,
        })
    }
}

/// A complete digest only: it is recorded even without a match, and a shorter text could be a patient's
/// number.
fn digest(text: &str) -> Result<Vec<u8>, ApiError> {
    let digest = hex::decode(text).ok().filter(|digest| digest.len() == 32);
    digest.ok_or(ApiError::Parameter { parameter: "input_digest", takes: "64 hexadecimal digits".into() })
}

/// All matching rows, in constant memory. If the database fails, the connection is cut, so that a partial
/// export is not taken for a complete one.
fn streamed(api: Shared, filter: Filter, cursor: Option<Uuid>, format: Format) -> Body {
    let first = Some((cursor, true));
    Body::from_stream(stream::try_unfold(first, move |at| {
        let (api, filter) = (api.clone(), filter.clone());
        async move {
            let Some((before, begins)) = at else { return Ok(None) };
            let rows = api.store.reader.predictions(&filter, Page { before, limit: CHUNK }).await;
            let rows = rows.inspect_err(|error| {
                tracing::error!(cause = crate::telemetry::logs::chain(error), "export aborted");
            })?;
            let next = rows.last().filter(|_| rows.len() == CHUNK).map(|last| (Some(last.row.id), false));
            let text = match format {
                Format::Csv => {
                    csv(begins.then(csv_header).into_iter().chain(rows.into_iter().map(csv_record)))
                }
                Format::Fhir => json_lines(rows.iter().map(|row| fhir::audit_event(&row.row))),
                Format::Json | Format::Ndjson => json_lines(rows.into_iter().map(PredictionRecord::from)),
            };
            Ok::<_, crate::store::StoreError>(Some((Bytes::from(text), next)))
        }
    }))
}

fn json_lines(values: impl Iterator<Item = impl Serialize>) -> Vec<u8> {
    let mut text = Vec::new();
    for value in values {
        text.extend(serde_json::to_vec(&value).unwrap_or_default());
        text.push(b'\n');
    }
    text
}

fn csv_header() -> Vec<String> {
    PredictionRecord::COLUMNS.iter().map(|name| (*name).to_owned()).collect()
}

fn csv_record(row: LabelledPrediction) -> Vec<String> {
    let value = serde_json::to_value(PredictionRecord::from(row)).unwrap_or_default();
    PredictionRecord::COLUMNS.iter().map(|name| cell(&value[*name])).collect()
}

/// A CSV cell: bare text, empty for null, JSON for lists and objects.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// RFC 4180. Text that a spreadsheet would run as a formula gets a leading quote.
fn csv(records: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let guarded = |cell: String| {
        let formula = cell.starts_with(['=', '+', '@', '\t', '\r'])
            || (cell.starts_with('-') && cell.parse::<f64>().is_err());
        if formula { format!("'{cell}") } else { cell }
    };
    let mut lines = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for record in records {
        // Writing to a Vec cannot fail.
        let _ = lines.write_record(record.into_iter().map(guarded));
    }
    lines.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csv_line_is_quoted_and_defuses_formulas() {
        let record = ["plain", "a,b", "say \"x\"", "=1+1", "-3.5", "-x"].map(String::from).to_vec();
        let text = csv(std::iter::once(record));
        assert_eq!(String::from_utf8(text).unwrap(), "plain,\"a,b\",\"say \"\"x\"\"\",'=1+1,-3.5,'-x\r\n");
    }
}
