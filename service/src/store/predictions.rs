//! The table `predictions`: one insert, of one row or several, and one select. There is no update.

use crate::audit::columns::Columns;
use crate::audit::repeats::Kept;
use crate::audit::row::{SealedRow, StoredPrediction};
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::query_builder::{QueryBuilder, Separated};
use sqlx::{Arguments, PgConnection, Postgres};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// Longest time from the head of a request to the id of its image: an hour, the most that `http.body_timeout_ms` can be.
const UPLOAD: Duration = Duration::HOUR;

/// Where each leaf waits for its place in the tree.
const PENDING: &str = "
WITH pending AS (
    INSERT INTO audit_pending (prediction_id, leaf_hash, row_hash, code)
    SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[]))";

/// The answers that are kept. Not `ON CONFLICT`: a second row under one key must not be.
const KEPT: &str = ", kept AS (
    INSERT INTO idempotency_keys (key_digest, fingerprint, prediction_id, answer)
    SELECT * FROM unnest($5::bytea[], $6::bytea[], $7::uuid[], $8::jsonb[]))";

const INSERT: &str = "
INSERT INTO predictions (
    id, request_id, received_at, actor, site, subject, encoding_version, outcome, reason,
    input_digest, input_bytes, format, width, height, significant_bits, colour,
    age_years, view, modality, statistics_version, image_statistics,
    model_name, model_version, bundle_digest, variant, execution,
    policy_digest, logit, probability, confidence, threshold, decision, review_required, decision_reason,
    ood_score, embedding_coordinates, cam, cam_width, cam_height, timings) ";

const COLUMNS: &str = "
SELECT id, request_id, received_at, recorded_at, actor, site, subject, encoding_version, outcome, reason,
    input_digest, input_bytes, format, width, height, significant_bits, colour,
    age_years, view, modality, statistics_version, image_statistics,
    model_name, model_version, bundle_digest, variant, execution,
    policy_digest, logit, probability, confidence, threshold, decision, review_required, decision_reason,
    ood_score, embedding_coordinates, cam, cam_width, cam_height, timings
FROM predictions ";

/// The images of a label by the rule of the view `current_labels`, from the label's own index and in the order of a page.
const LABELLED: &str = "
JOIN (SELECT prediction_id AS labelled FROM labels AS counts WHERE id = (SELECT id FROM labels AS newest
    WHERE newest.prediction_id = counts.prediction_id ORDER BY labelled_at DESC, recorded_at DESC, id DESC LIMIT 1)
    AND label = ";

/// What is asked for; all of it must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Received from then on.
    pub from: Option<OffsetDateTime>,
    /// Received before then.
    pub to: Option<OffsetDateTime>,
    /// Subject of the token.
    pub actor: Option<String>,
    /// Version of the model.
    pub model_version: Option<String>,
    /// Digest of its manifest.
    pub bundle_digest: Option<String>,
    /// `predicted`, `rejected`, `expired` or `failed`.
    pub outcome: Option<String>,
    /// `positive` or `negative`.
    pub decision: Option<String>,
    /// Why it was decided so, or why there is no prediction.
    pub reason: Option<String>,
    /// Whether a radiologist must look.
    pub review_required: Option<bool>,
    /// Keyed digest of the upload.
    pub input_digest: Option<Vec<u8>>,
    /// Pseudonym of the person.
    pub subject: Option<[u8; 32]>,
    /// The request.
    pub request_id: Option<String>,
    /// The label that counts: `positive` or `negative`.
    pub label: Option<String>,
    /// What a radiologist must look at and nobody has said anything of.
    pub unreviewed: bool,
}

/// Which part of the rows.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Only rows that are older than this one.
    pub before: Option<Uuid>,
    /// At most so many.
    pub limit: usize,
}

/// One statement in its own transaction: all rows have committed when this returns, and wait for their place in the tree.
pub(super) async fn insert(connection: &mut PgConnection, rows: &[&SealedRow]) -> Result<(), sqlx::Error> {
    // One text for each number of rows, which the connection keeps prepared.
    let mut arguments = PgArguments::default();
    add_pending(&mut arguments, rows).map_err(sqlx::Error::Encode)?;
    let with_keys = rows.iter().any(|sealed| sealed.kept().is_some());
    if with_keys {
        add_kept(&mut arguments, rows).map_err(sqlx::Error::Encode)?;
    }
    let mut statement = QueryBuilder::with_arguments(PENDING, arguments);
    statement.push(if with_keys { KEPT } else { "" }).push(INSERT);
    statement.push_values(rows, |values, sealed| push(values, &Columns::of(sealed.row())));
    statement.build().execute(connection).await.map(|_| ())
}

/// The arrays of [`PENDING`].
fn add_pending(arguments: &mut PgArguments, rows: &[&SealedRow]) -> Result<(), BoxDynError> {
    arguments.add(rows.iter().map(|sealed| sealed.row().id).collect::<Vec<_>>())?;
    arguments.add(rows.iter().map(|sealed| sealed.digests().leaf_hash.0).collect::<Vec<_>>())?;
    let row_hashes = rows.iter().map(|sealed| sealed.digests().row_hash.map(|hash| hash.0));
    arguments.add(row_hashes.collect::<Vec<_>>())?;
    arguments.add(rows.iter().map(|sealed| *sealed.code()).collect::<Vec<_>>())
}

/// The arrays of [`KEPT`], in the order of the keys: two groups that have two keys in common must not wait for each other.
fn add_kept(arguments: &mut PgArguments, rows: &[&SealedRow]) -> Result<(), BoxDynError> {
    let mut kept: Vec<(&Kept, Uuid)> =
        rows.iter().filter_map(|sealed| Some((sealed.kept()?, sealed.row().id))).collect();
    kept.sort_unstable_by_key(|(kept, _)| kept.key.digest);
    arguments.add(kept.iter().map(|(kept, _)| kept.key.digest).collect::<Vec<_>>())?;
    arguments.add(kept.iter().map(|(kept, _)| kept.key.fingerprint).collect::<Vec<_>>())?;
    arguments.add(kept.iter().map(|(_, id)| *id).collect::<Vec<_>>())?;
    arguments.add(kept.iter().map(|(kept, _)| &kept.answer).collect::<Vec<_>>())
}

/// The values of a row, in the order of [`INSERT`].
fn push(mut values: Separated<'_, Postgres, &'static str>, row: &Columns<'_>) {
    values
        .push_bind(row.id)
        .push_bind(row.request_id)
        .push_bind(row.received_at)
        .push_bind(row.actor)
        .push_bind(row.site)
        .push_bind(row.subject.map(|subject| subject.0))
        .push_bind(row.encoding_version)
        .push_bind(row.outcome)
        .push_bind(row.reason)
        .push_bind(&*row.input_digest)
        .push_bind(row.input_bytes)
        .push_bind(row.format)
        .push_bind(row.width)
        .push_bind(row.height)
        .push_bind(row.significant_bits)
        .push_bind(row.colour)
        .push_bind(row.age_years)
        .push_bind(row.view)
        .push_bind(row.modality)
        .push_bind(row.statistics_version)
        .push_bind(row.image_statistics.as_deref())
        .push_bind(row.model_name)
        .push_bind(row.model_version)
        .push_bind(row.bundle_digest)
        .push_bind(row.variant)
        .push_bind(row.execution)
        .push_bind(row.policy_digest)
        .push_bind(row.logit)
        .push_bind(row.probability)
        .push_bind(row.confidence)
        .push_bind(row.threshold)
        .push_bind(row.decision)
        .push_bind(row.review_required)
        .push_bind(row.decision_reason)
        .push_bind(row.ood_score)
        .push_bind(row.embedding_coordinates)
        .push_bind(row.cam)
        .push_bind(row.cam_width)
        .push_bind(row.cam_height)
        .push_bind(&*row.timings);
}

pub(super) async fn find(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<StoredPrediction>, sqlx::Error> {
    let mut statement = QueryBuilder::<Postgres>::new(COLUMNS);
    statement.push("WHERE id = ").push_bind(id);
    statement.build_query_as().fetch_optional(connection).await
}

/// The order is the id's, which begins with its time: stable under new rows, and the cursor is the last id of a page.
pub(super) async fn list(
    connection: &mut PgConnection,
    filter: &Filter,
    page: Page,
) -> Result<Vec<StoredPrediction>, sqlx::Error> {
    let mut statement = QueryBuilder::<Postgres>::new(COLUMNS);
    if let Some(label) = &filter.label {
        statement.push(LABELLED).push_bind(label.clone()).push(") AS counted ON labelled = predictions.id ");
    }
    statement.push("WHERE true");
    restrict(&mut statement, filter);
    if let Some(before) = page.before {
        statement.push(" AND predictions.id < ").push_bind(before);
        if filter.label.is_some() {
            statement.push(" AND labelled < ").push_bind(before);
        }
    }
    statement.push(" ORDER BY id DESC LIMIT ").push_bind(page.limit as i64);
    statement.build_query_as().fetch_all(connection).await
}

fn restrict(statement: &mut QueryBuilder<Postgres>, filter: &Filter) {
    // An id is made after its request began, within the time that an upload may take: the range of ids finds the month, the range of
    // times is exact. Ids count from 1970.
    let counted = |at: OffsetDateTime| at.max(OffsetDateTime::UNIX_EPOCH);
    if let Some(from) = filter.from {
        statement.push(" AND received_at >= ").push_bind(from);
        statement.push(" AND id >= first_id(").push_bind(counted(from)).push(")");
    }
    if let Some(to) = filter.to {
        statement.push(" AND received_at < ").push_bind(to);
        // In the last hour of the year 9999 every id is before the end.
        if let Some(last) = to.checked_add(UPLOAD) {
            statement.push(" AND id < first_id(").push_bind(counted(last)).push(")");
        }
    }
    let texts = [
        ("actor", &filter.actor),
        ("model_version", &filter.model_version),
        ("bundle_digest", &filter.bundle_digest),
        ("outcome", &filter.outcome),
        ("decision", &filter.decision),
        ("request_id", &filter.request_id),
    ];
    for (column, value) in texts {
        if let Some(value) = value {
            statement.push(format_args!(" AND {column} = ")).push_bind(value.clone());
        }
    }
    if let Some(reason) = &filter.reason {
        statement.push(" AND coalesce(reason, decision_reason) = ").push_bind(reason.clone());
    }
    if let Some(review) = filter.review_required {
        statement.push(" AND review_required = ").push_bind(review);
    }
    if filter.unreviewed {
        statement.push(" AND review_required");
        statement.push(" AND NOT EXISTS (SELECT FROM labels WHERE prediction_id = predictions.id)");
    }
    if let Some(subject) = filter.subject {
        statement.push(" AND subject = ").push_bind(subject);
    }
    if let Some(digest) = &filter.input_digest {
        statement.push(" AND input_digest = ").push_bind(digest.clone());
    }
}
