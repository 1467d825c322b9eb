//! The table `predictions`: one insert, of one row or several, and one select. Rows are never updated.

use super::labels::{LabelledPrediction, WITH_LABEL};
use super::session::Session;
use super::write::counted;
use super::{Reader, StoreError};
use crate::record::columns::with_columns;
use crate::record::idempotency::SealedAnswer;
use crate::record::{AuditRow, Hex, SealedRow};
use serde_json::Value;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe, Encode, Postgres, QueryBuilder, Type, TypeInfo};
use std::sync::LazyLock;
use std::time::Duration as StdDuration;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// Longest time from the head of a request to the id of its image: the largest `http.body_timeout_ms`.
const UPLOAD: Duration = Duration::HOUR;

/// The leaves, until the sequencer moves them into the tree.
const PENDING: &str = "
WITH pending AS (
    INSERT INTO audit_pending (prediction_id, leaf_hash, row_hash, code)
    SELECT * FROM unnest(";

/// Answers for retries. Not `ON CONFLICT`: a second row under one key must fail.
const ANSWERS: &str = "
    INSERT INTO idempotency_keys (key_digest, fingerprint, prediction_id, answer, code)
    SELECT * FROM unnest(";

/// Refuses the whole statement if the database did not keep every row or cannot keep them durably. The counts
/// are checked again here: a changed function cannot hide a lost row.
const CHECK: [&str; 2] = [
    "
SELECT n_pending, n_recorded, n_kept,
    check_write('{audit_pending,predictions,idempotency_keys}', ARRAY[n_pending, n_recorded, n_kept], ",
    ") AS ahead_s
FROM (SELECT (SELECT count(*) FROM pending) AS n_pending, (SELECT count(*) FROM recorded) AS n_recorded,
    (SELECT count(*) FROM kept) AS n_kept) AS counts",
];

/// Runs the code unless the database sets the column itself.
macro_rules! if_inserted {
    (by_database, $($code:tt)*) => {};
    ($($rule:ident)?, $($code:tt)*) => { $($code)* };
}

macro_rules! statements {
    ($(
        $(#[$attribute:meta])*
        $name:ident: $type:ty $(, $rule:ident $($version:literal)?)?;
    )*) => {
        /// Every column by name: `*` would change with a migration under prepared statements.
        static SELECT: LazyLock<String> =
            LazyLock::new(|| format!("SELECT {} FROM predictions ", [$(stringify!($name)),*].join(", ")));

        /// The inserted columns, and the same with the casts from the elements of their arrays.
        static INSERTED: LazyLock<[String; 2]> = LazyLock::new(|| {
            let (mut names, mut casts) = (Vec::new(), Vec::new());
            $(if_inserted!($($rule)?,
                names.push(stringify!($name));
                casts.push(format!("{}::{}", stringify!($name), <$type as Type<Postgres>>::type_info().name()));
            );)*
            [names.join(", "), casts.join(", ")]
        });

        fn bind_columns(statement: &mut Statement, rows: &[&SealedRow]) -> Result<(), sqlx::Error> {
            $(if_inserted!($($rule)?,
                statement.bind_each(rows.iter().map(|sealed| sealed.row().$name.element()))?;
            );)*
            Ok(())
        }
    };
}
with_columns!(all, statements);

/// A value as an element of a column's array. An array becomes text: Postgres has no ragged arrays.
trait Element {
    type Bound<'a>
    where
        Self: 'a;

    fn element(&self) -> Self::Bound<'_>;
}

macro_rules! bound_unchanged {
    ($($type:ty),*) => { $(
        impl Element for $type {
            type Bound<'a> = &'a $type;

            fn element(&self) -> &$type {
                self
            }
        }
    )* };
}
bound_unchanged!(Uuid, String, OffsetDateTime, Hex, i16, i32, i64, f32, f64, bool, Value);

impl Element for Vec<f32> {
    type Bound<'a> = String;

    /// Each number has as many digits as it takes to read the same number back.
    fn element(&self) -> String {
        let numbers: Vec<String> = self.iter().map(f32::to_string).collect();
        format!("{{{}}}", numbers.join(","))
    }
}

impl<T: Element> Element for Option<T> {
    type Bound<'a>
        = Option<T::Bound<'a>>
    where
        T: 'a;

    fn element(&self) -> Option<T::Bound<'_>> {
        self.as_ref().map(T::element)
    }
}

/// Images by their current label (as in the view `current_labels`), from the label's own index and in the
/// order of a page. The planner assumes that `NOT EXISTS` usually holds, so it scans in page order.
const LABELLED: &str = "
JOIN (SELECT prediction_id AS labelled FROM labels AS counts WHERE NOT EXISTS (SELECT FROM labels AS newer
    WHERE newer.prediction_id = counts.prediction_id
    AND (newer.labelled_at, newer.recorded_at, newer.id) > (counts.labelled_at, counts.recorded_at, counts.id))
    AND label = ";

/// Conditions on rows; all of them must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Received at this time or later.
    pub from: Option<OffsetDateTime>,
    pub to: Option<OffsetDateTime>,
    pub actor: Option<String>,
    pub model_version: Option<String>,
    pub bundle_digest: Option<String>,
    /// `predicted`, `rejected`, `expired` or `failed`.
    pub outcome: Option<String>,
    /// `positive`, `negative` or `refer`.
    pub decision: Option<String>,
    /// The rule that determined the decision, or why the row has no prediction.
    pub reason: Option<String>,
    pub review_required: Option<bool>,
    pub input_digest: Option<Vec<u8>>,
    pub subject: Option<[u8; 32]>,
    pub request_id: Option<String>,
    /// The current label: `positive` or `negative`.
    pub label: Option<String>,
    /// Only images that require review and have no label.
    pub unreviewed: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Only rows with a smaller id.
    pub before: Option<Uuid>,
    pub limit: usize,
}

/// One statement and transaction; it fails if the clocks differ by more than `max_clock_difference`.
///
/// There is an array for each column, so the text does not depend on the number of rows: a connection parses
/// and plans it once with answers and once without.
pub(super) async fn insert(
    session: &mut Session,
    rows: &[&SealedRow],
    max_clock_difference: StdDuration,
) -> Result<(), StoreError> {
    let mut answers: Vec<&SealedAnswer> = rows.iter().filter_map(|sealed| sealed.answer()).collect();
    // Sorted, so that two batches with two keys in common cannot deadlock.
    answers.sort_unstable_by_key(|sealed| sealed.first.key.digest);
    let [names, casts] = INSERTED.each_ref().map(String::as_str);
    let mut statement = Statement { sql: PENDING.to_owned(), arguments: PgArguments::default() };
    statement.bind_each(rows.iter().map(|sealed| sealed.row().id))?;
    statement.bind_each(rows.iter().map(|sealed| sealed.digests().leaf_hash.0))?;
    statement.bind_each(rows.iter().map(|sealed| sealed.digests().row_hash.map(|hash| hash.0)))?;
    statement.bind_each(rows.iter().map(|sealed| *sealed.leaf_hmac()))?;
    statement.sql += ") RETURNING 1), kept AS (";
    if answers.is_empty() {
        statement.sql += "SELECT WHERE false";
    } else {
        statement.sql += ANSWERS;
        statement.bind_each(answers.iter().map(|sealed| sealed.first.key.digest))?;
        statement.bind_each(answers.iter().map(|sealed| sealed.first.key.fingerprint))?;
        statement.bind_each(answers.iter().map(|sealed| sealed.prediction_id))?;
        statement.bind_each(answers.iter().map(|sealed| &sealed.first.answer))?;
        statement.bind_each(answers.iter().map(|sealed| sealed.hmac))?;
        statement.sql += ") RETURNING 1";
    }
    let into = ["), recorded AS (INSERT INTO predictions (", names, ") SELECT ", casts, " FROM unnest("];
    statement.sql.extend(into);
    bind_columns(&mut statement, rows)?;
    statement.sql.extend([") AS rows (", names, ") RETURNING 1)"]);
    let [before, after] = CHECK;
    statement.sql += before;
    statement.bind(vec![rows.len() as i64, rows.len() as i64, answers.len() as i64])?;
    statement.bind(OffsetDateTime::now_utc())?;
    statement.bind(max_clock_difference.as_secs_f64())?;
    statement.sql += after;
    let insert = sqlx::query_as_with(AssertSqlSafe(statement.sql), statement.arguments);
    let (n_pending, n_recorded, n_kept, _): (i64, i64, i64, f64) = insert.fetch_one(session).await?;
    counted("audit_pending", rows.len() as u64, n_pending as u64)?;
    counted("predictions", rows.len() as u64, n_recorded as u64)?;
    counted("idempotency_keys", answers.len() as u64, n_kept as u64)
}

/// SQL and its arguments. `QueryBuilder` would panic on an encoding error and fail a whole group of rows.
struct Statement {
    sql: String,
    arguments: PgArguments,
}

impl Statement {
    /// Appends the argument and its placeholder, after a comma if it follows another one.
    fn bind<'q>(&mut self, value: impl Encode<'q, Postgres> + Type<Postgres>) -> Result<(), sqlx::Error> {
        self.arguments.add(value).map_err(sqlx::Error::Encode)?;
        let comma = if self.sql.ends_with(['(', ' ']) { "" } else { ", " };
        let placeholder = format!("{comma}${}", self.arguments.len());
        self.sql.push_str(&placeholder);
        Ok(())
    }

    fn bind_each<'q, T>(&mut self, values: impl Iterator<Item = T>) -> Result<(), sqlx::Error>
    where
        Vec<T>: Encode<'q, Postgres> + Type<Postgres>,
    {
        self.bind(values.collect::<Vec<_>>())
    }
}

impl Reader {
    pub async fn prediction(&self, id: Uuid) -> Result<Option<AuditRow>, StoreError> {
        let mut statement = QueryBuilder::<Postgres>::new(&**SELECT);
        statement.push("WHERE id = ").push_bind(id);
        self.0.run(async |session| statement.build_query_as().fetch_optional(session).await).await
    }

    pub async fn labelled_prediction(&self, id: Uuid) -> Result<Option<LabelledPrediction>, StoreError> {
        let [before, after] = WITH_LABEL;
        let mut statement = QueryBuilder::<Postgres>::new(before);
        statement.push(&*SELECT).push("WHERE id = ").push_bind(id).push(after);
        self.0.run(async |session| statement.build_query_as().fetch_optional(session).await).await
    }

    pub async fn predictions(
        &self,
        filter: &Filter,
        page: Page,
    ) -> Result<Vec<LabelledPrediction>, StoreError> {
        let mut statement = page_of(filter, page);
        self.0.run(async |session| statement.build_query_as().fetch_all(session).await).await
    }
}

/// The newest id first. An id begins with its time, so new rows do not shift the following pages.
fn page_of(filter: &Filter, page: Page) -> QueryBuilder<Postgres> {
    let [before, after] = WITH_LABEL;
    let mut statement = QueryBuilder::<Postgres>::new(before);
    statement.push(&*SELECT);
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
    // An id is made after its request began, within the time an upload may take. The range of ids selects the
    // months, the range of times is exact. Ids count from 1970.
    let counted = |at: OffsetDateTime| at.max(OffsetDateTime::UNIX_EPOCH);
    if let Some(from) = filter.from {
        statement.push(" AND received_at >= ").push_bind(from);
        statement.push(" AND id >= first_id(").push_bind(counted(from)).push(")");
    }
    if let Some(to) = filter.to {
        statement.push(" AND received_at < ").push_bind(to);
        // In the last hour of the year 9999 every id qualifies.
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
        ("coalesce(reason, decision_reason)", &filter.reason),
    ];
    for (column, value) in texts {
        if let Some(value) = value {
            statement.push(format_args!(" AND {column} = ")).push_bind(value.clone());
        }
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
