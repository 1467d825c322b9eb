//! The table `predictions`: one insert, of one row or several, and one select. There is no update.

use super::Reader;
use super::StoreError;
use super::labels::{LabelledPrediction, WITH_LABEL};
use super::session::Session;
use super::write::counted;
use crate::audit::columns::Columns;
use crate::audit::repeats::SealedAnswer;
use crate::audit::row::{SealedRow, StoredPrediction};
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::query_builder::QueryBuilder;
use sqlx::{Arguments, Postgres};
use std::time::Duration as StdDuration;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// Longest time from the head of a request to the id of its image: an hour, the most that `http.body_timeout_ms` can be.
const UPLOAD: Duration = Duration::HOUR;

/// Where each leaf waits for its place in the tree.
const PENDING: &str = "
WITH pending AS (
    INSERT INTO audit_pending (prediction_id, leaf_hash, row_hash, code)
    SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[]) RETURNING 1)";

/// The answers that are kept. Not `ON CONFLICT`: a second row under one key must not be.
const KEPT: &str = ", kept AS (
    INSERT INTO idempotency_keys (key_digest, fingerprint, prediction_id, answer, code)
    SELECT * FROM unnest($50::bytea[], $51::bytea[], $52::uuid[], $53::jsonb[], $54::bytea[]) RETURNING 1)";

/// In place of [`KEPT`] where there are none.
const NONE_KEPT: &str = ", kept AS (SELECT WHERE false)";

/// An array for each column, so that one text does for any number of rows: each text is parsed and planned once a connection. The two
/// columns that are arrays themselves come as text, because arrays of several lengths are no array.
const INSERT: &str = ", recorded AS (
INSERT INTO predictions (
    id, request_id, received_at, actor, site, subject, encoding_version, outcome, reason, input_digest,
    input_bytes, format, width, height, significant_bits, colour, orientation, age_years, view, modality,
    assumed, statistics_version, image_statistics, model_name, model_version, bundle_digest, variant, execution,
    policy_digest, logit, probability, confidence, threshold, decision, review_required, decision_reason,
    ood_score, embedding_coordinates, cam, cam_width, cam_height, heatmap_low, heatmap_high, timings)
SELECT
    id, request_id, received_at, actor, site, subject, encoding_version, outcome, reason, input_digest,
    input_bytes, format, width, height, significant_bits, colour, orientation, age_years, view, modality,
    assumed, statistics_version, image_statistics, model_name, model_version, bundle_digest, variant, execution,
    policy_digest, logit, probability, confidence, threshold, decision, review_required, decision_reason,
    ood_score, embedding_coordinates::real[], cam::real[], cam_width, cam_height, heatmap_low, heatmap_high,
    timings
FROM unnest(
    $1::uuid[], $5::text[], $6::timestamptz[], $7::text[], $8::text[], $9::bytea[], $10::smallint[],
    $11::text[], $12::text[], $13::bytea[], $14::bigint[], $15::text[], $16::integer[], $17::integer[],
    $18::smallint[], $19::text[], $20::smallint[], $21::real[], $22::text[], $23::text[], $24::jsonb[],
    $25::smallint[], $26::jsonb[], $27::text[], $28::text[], $29::text[], $30::text[], $31::jsonb[],
    $32::text[], $33::float8[], $34::float8[], $35::float8[], $36::float8[], $37::text[], $38::boolean[],
    $39::text[], $40::float8[], $41::text[], $42::text[], $43::smallint[], $44::smallint[], $45::real[],
    $46::real[], $47::jsonb[]) AS rows (
    id, request_id, received_at, actor, site, subject, encoding_version, outcome, reason, input_digest,
    input_bytes, format, width, height, significant_bits, colour, orientation, age_years, view, modality,
    assumed, statistics_version, image_statistics, model_name, model_version, bundle_digest, variant, execution,
    policy_digest, logit, probability, confidence, threshold, decision, review_required, decision_reason,
    ood_score, embedding_coordinates, cam, cam_width, cam_height, heatmap_low, heatmap_high, timings)
RETURNING 1)";

/// Refuses all of it where the database did not keep every row, or could not keep them as they are meant. What it counted comes back as
/// well: whoever changed the function has not changed this program.
const CHECK: &str = "
SELECT n_pending, n_recorded, n_kept,
    check_write('{audit_pending,predictions,idempotency_keys}', ARRAY[n_pending, n_recorded, n_kept],
        ARRAY[cardinality($1), cardinality($1), $KEPT]::bigint[], $48, $49) AS ahead_s
FROM (SELECT (SELECT count(*) FROM pending) AS n_pending, (SELECT count(*) FROM recorded) AS n_recorded,
    (SELECT count(*) FROM kept) AS n_kept) AS counts";

const COLUMNS: &str = "
SELECT id, request_id, received_at, recorded_at, actor, site, subject, encoding_version, outcome, reason,
    input_digest, input_bytes, format, width, height, significant_bits, colour, orientation,
    age_years, view, modality, assumed, statistics_version, image_statistics,
    model_name, model_version, bundle_digest, variant, execution,
    policy_digest, logit, probability, confidence, threshold, decision, review_required, decision_reason,
    ood_score, embedding_coordinates, cam, cam_width, cam_height, heatmap_low, heatmap_high, timings
FROM predictions ";

/// The images of a label by the rule of the view `current_labels`, from the label's own index and in the order of a page. Said as what
/// there is not, of which the planner believes that it is common: then it stops at the end of the page.
const LABELLED: &str = "
JOIN (SELECT prediction_id AS labelled FROM labels AS counts WHERE NOT EXISTS (SELECT FROM labels AS newer
    WHERE newer.prediction_id = counts.prediction_id
    AND (newer.labelled_at, newer.recorded_at, newer.id) > (counts.labelled_at, counts.recorded_at, counts.id))
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
    /// `positive`, `negative` or `refer`.
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

/// One statement in its own transaction: all rows have committed when this returns, and wait for their place in the tree. They have not
/// where the clocks differ by more than `most`.
pub(super) async fn insert(
    session: &mut Session,
    rows: &[&SealedRow],
    most: StdDuration,
) -> Result<(), StoreError> {
    let answers: Vec<&SealedAnswer> = rows.iter().filter_map(|sealed| sealed.answer()).collect();
    let mut arguments = PgArguments::default();
    add_pending(&mut arguments, rows).map_err(sqlx::Error::Encode)?;
    let columns: Vec<Columns<'_>> = rows.iter().map(|sealed| Columns::of(sealed.row())).collect();
    add_columns(&mut arguments, &columns).map_err(sqlx::Error::Encode)?;
    arguments.add(OffsetDateTime::now_utc()).map_err(sqlx::Error::Encode)?;
    arguments.add(most.as_secs_f64()).map_err(sqlx::Error::Encode)?;
    if !answers.is_empty() {
        add_kept(&mut arguments, &answers).map_err(sqlx::Error::Encode)?;
    }
    let (kept, n_kept) = if answers.is_empty() { (NONE_KEPT, "0") } else { (KEPT, "cardinality($50)") };
    let mut statement = QueryBuilder::with_arguments(PENDING, arguments);
    statement.push(kept).push(INSERT).push(CHECK.replace("$KEPT", n_kept));
    let (n_pending, n_recorded, n_kept, _): (i64, i64, i64, f64) =
        statement.build_query_as().fetch_one(session).await?;
    counted("audit_pending", rows.len() as u64, n_pending as u64)?;
    counted("predictions", rows.len() as u64, n_recorded as u64)?;
    counted("idempotency_keys", answers.len() as u64, n_kept as u64)
}

/// The arrays of [`PENDING`]; the first is the first of [`INSERT`] as well.
fn add_pending(arguments: &mut PgArguments, rows: &[&SealedRow]) -> Result<(), BoxDynError> {
    arguments.add(rows.iter().map(|sealed| sealed.row().id).collect::<Vec<_>>())?;
    arguments.add(rows.iter().map(|sealed| sealed.digests().leaf_hash.0).collect::<Vec<_>>())?;
    let row_hashes = rows.iter().map(|sealed| sealed.digests().row_hash.map(|hash| hash.0));
    arguments.add(row_hashes.collect::<Vec<_>>())?;
    arguments.add(rows.iter().map(|sealed| *sealed.code()).collect::<Vec<_>>())
}

/// The other arrays of [`INSERT`], in its order.
fn add_columns(arguments: &mut PgArguments, rows: &[Columns<'_>]) -> Result<(), BoxDynError> {
    macro_rules! add {
        ($($value:expr),+ $(,)?) => {
            $(arguments.add(rows.iter().map($value).collect::<Vec<_>>())?;)+
        };
    }
    add!(
        |row| row.request_id,
        |row| row.received_at,
        |row| row.actor,
        |row| row.site,
        |row| row.subject.map(|subject| subject.0),
        |row| row.encoding_version,
        |row| row.outcome,
        |row| row.reason,
        |row| &*row.input_digest,
        |row| row.input_bytes,
        |row| row.format,
        |row| row.width,
        |row| row.height,
        |row| row.significant_bits,
        |row| row.colour,
        |row| row.orientation,
        |row| row.age_years,
        |row| row.view,
        |row| row.modality,
        |row| row.assumed.as_deref(),
        |row| row.statistics_version,
        |row| row.image_statistics.as_deref(),
        |row| row.model_name,
        |row| row.model_version,
        |row| row.bundle_digest,
        |row| row.variant,
        |row| row.execution,
        |row| row.policy_digest,
        |row| row.logit,
        |row| row.probability,
        |row| row.confidence,
        |row| row.threshold,
        |row| row.decision,
        |row| row.review_required,
        |row| row.decision_reason,
        |row| row.ood_score,
        |row| row.embedding_coordinates.map(real_array),
        |row| row.cam.map(real_array),
        |row| row.cam_width,
        |row| row.cam_height,
        |row| row.heatmap_low,
        |row| row.heatmap_high,
        |row| &*row.timings,
    );
    Ok(())
}

/// As Postgres writes an array; each number with as many digits as it takes to be that number again.
fn real_array(numbers: &[f32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(f32::to_string).collect();
    format!("{{{}}}", numbers.join(","))
}

/// The arrays of [`KEPT`], in the order of the keys: two groups that have two keys in common must not wait for each other.
fn add_kept(arguments: &mut PgArguments, answers: &[&SealedAnswer]) -> Result<(), BoxDynError> {
    let mut answers = answers.to_vec();
    answers.sort_unstable_by_key(|sealed| sealed.kept.key.digest);
    arguments.add(answers.iter().map(|sealed| sealed.kept.key.digest).collect::<Vec<_>>())?;
    arguments.add(answers.iter().map(|sealed| sealed.kept.key.fingerprint).collect::<Vec<_>>())?;
    arguments.add(answers.iter().map(|sealed| sealed.prediction_id).collect::<Vec<_>>())?;
    arguments.add(answers.iter().map(|sealed| &sealed.kept.answer).collect::<Vec<_>>())?;
    arguments.add(answers.iter().map(|sealed| sealed.code).collect::<Vec<_>>())
}

impl Reader {
    /// The row of an id.
    pub async fn prediction(&self, id: Uuid) -> Result<Option<StoredPrediction>, StoreError> {
        let mut statement = QueryBuilder::<Postgres>::new(COLUMNS);
        statement.push("WHERE id = ").push_bind(id);
        self.0.run(async |session| statement.build_query_as().fetch_optional(session).await).await
    }

    /// The row of an id with its current label.
    pub async fn labelled_prediction(&self, id: Uuid) -> Result<Option<LabelledPrediction>, StoreError> {
        let [before, after] = WITH_LABEL;
        let mut statement = QueryBuilder::<Postgres>::new(before);
        statement.push(COLUMNS).push("WHERE id = ").push_bind(id).push(after);
        self.0.run(async |session| statement.build_query_as().fetch_optional(session).await).await
    }

    /// A page of the rows that match a filter, the newest first, with their current labels.
    pub async fn predictions(
        &self,
        filter: &Filter,
        page: Page,
    ) -> Result<Vec<LabelledPrediction>, StoreError> {
        let mut statement = page_of(filter, page);
        self.0.run(async |session| statement.build_query_as().fetch_all(session).await).await
    }
}

/// Ordered by id, which begins with the row's time: new rows do not move a page, and its last id is the cursor.
fn page_of(filter: &Filter, page: Page) -> QueryBuilder<Postgres> {
    let [before, after] = WITH_LABEL;
    let mut statement = QueryBuilder::<Postgres>::new(before);
    statement.push(COLUMNS);
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
    statement.push(" ORDER BY id DESC LIMIT ").push_bind(page.limit as i64).push(after);
    statement
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
