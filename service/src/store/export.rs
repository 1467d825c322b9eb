//! Reading the whole log in the tree's order, row by row, from one snapshot.

use super::tree::{Leaf, SignedHead};
use super::{Store, StoreError, write};
use crate::record::{AuditRow, Digests};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row};
use time::OffsetDateTime;
use tlog_tiles::Hash;
use uuid::Uuid;

/// Every label of a row, the current one first; null if there is none.
macro_rules! labels {
    () => {
        "(SELECT json_agg(json_build_object('label', label, 'source', source, 'labelled_at', labelled_at,
            'recorded_at', labels.recorded_at) ORDER BY labelled_at DESC, labels.recorded_at DESC, labels.id DESC)
         FROM labels WHERE labels.prediction_id = predictions.id) AS labels "
    };
}

/// Each checkpoint is joined to its last leaf.
const LEAVES: &str = concat!(
    "SELECT leaf_index, audit_leaves.prediction_id, leaf_hash, row_hash, tree_size, root_hash, note, predictions.*, ",
    labels!(),
    "FROM audit_leaves
LEFT JOIN predictions ON id = audit_leaves.prediction_id
LEFT JOIN audit_checkpoints ON tree_size = leaf_index + 1
ORDER BY leaf_index"
);

/// Rows that are not in the tree: they are pending, or the service did not write them.
const STRAYS: &str = concat!(
    "SELECT predictions.*, EXISTS (SELECT FROM audit_pending WHERE prediction_id = id) AS waits, ",
    labels!(),
    "FROM predictions WHERE NOT EXISTS (SELECT FROM audit_leaves WHERE prediction_id = id) ORDER BY id"
);

/// Heads of leaves that are not there: for the verifier to judge.
const OTHER_HEADS: &str = "
SELECT tree_size, root_hash, note FROM audit_checkpoints
WHERE tree_size > (SELECT coalesce(max(leaf_index) + 1, 0) FROM audit_leaves) ORDER BY tree_size";

const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// What an export holds, in the order of the tree: each head follows its last leaf. Then what is not in the
/// tree.
pub enum ExportItem {
    /// A leaf, and its row unless it is gone.
    Leaf {
        /// Its place.
        index: u64,
        /// Id and hash.
        leaf: Leaf,
        /// The row.
        row: Option<Box<AuditRow>>,
        /// What was said of it.
        labels: Vec<ExportedLabel>,
    },
    /// A signed head.
    Head(SignedHead),
    /// A row without a place.
    Stray {
        /// The row.
        row: Box<AuditRow>,
        /// Whether a leaf of it waits.
        waits: bool,
        /// What was said of it.
        labels: Vec<ExportedLabel>,
    },
}

/// A label as an export holds it, beside its row: the tree does not cover it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportedLabel {
    /// `positive` or `negative`.
    pub label: String,
    /// Who or what found it.
    pub source: String,
    /// When it was found.
    #[serde(with = "time::serde::rfc3339")]
    pub labelled_at: OffsetDateTime,
    /// When it was written down, on the database's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub recorded_at: OffsetDateTime,
}

impl Store {
    /// Hands every leaf and head to `take`, over a connection of its own without a time limit for the whole.
    ///
    /// # Errors
    /// When the database gives no answer, or the first error of `take`.
    pub async fn export<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(ExportItem) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut session = self.reader.connect().await?;
        let mut transaction = session.transaction().await.map_err(StoreError::Statement)?;
        for setting in [SNAPSHOT, "SET LOCAL statement_timeout = 0"] {
            let setting = sqlx::query(setting).persistent(false);
            write::command(&mut *transaction, setting).await.map_err(StoreError::Statement)?;
        }
        let mut leaves = sqlx::query(LEAVES).persistent(false).fetch(&mut *transaction);
        while let Some(row) = leaves.try_next().await.map_err(StoreError::Statement)? {
            take(leaf(&row).map_err(StoreError::Statement)?)?;
            if let Some(head) = head(&row).map_err(StoreError::Statement)? {
                take(ExportItem::Head(head))?;
            }
        }
        drop(leaves);
        let mut heads = sqlx::query(OTHER_HEADS).persistent(false).fetch(&mut *transaction);
        while let Some(row) = heads.try_next().await.map_err(StoreError::Statement)? {
            if let Some(head) = head(&row).map_err(StoreError::Statement)? {
                take(ExportItem::Head(head))?;
            }
        }
        drop(heads);
        let mut strays = sqlx::query(STRAYS).persistent(false).fetch(&mut *transaction);
        while let Some(row) = strays.try_next().await.map_err(StoreError::Statement)? {
            let stray = stray(&row).map_err(StoreError::Statement)?;
            take(stray)?;
        }
        Ok(())
    }
}

fn head(row: &PgRow) -> Result<Option<SignedHead>, sqlx::Error> {
    let Some(size) = row.try_get::<Option<i64>, _>("tree_size")? else { return Ok(None) };
    let root: [u8; 32] = row.try_get("root_hash")?;
    Ok(Some(SignedHead { size: size as u64, root: Hash(root), note: row.try_get("note")? }))
}

fn stray(row: &PgRow) -> Result<ExportItem, sqlx::Error> {
    let prediction = Box::new(AuditRow::from_row(row)?);
    Ok(ExportItem::Stray { row: prediction, waits: row.try_get("waits")?, labels: labels(row)? })
}

fn leaf(row: &PgRow) -> Result<ExportItem, sqlx::Error> {
    let index: i64 = row.try_get("leaf_index")?;
    let prediction_id: Uuid = row.try_get("prediction_id")?;
    let row_hash: Option<[u8; 32]> = row.try_get("row_hash")?;
    let digests = Digests { row_hash: row_hash.map(Hash), leaf_hash: Hash(row.try_get("leaf_hash")?) };
    let present: Option<Uuid> = row.try_get("id")?;
    let prediction = present.map(|_| AuditRow::from_row(row)).transpose()?.map(Box::new);
    let leaf = Leaf { prediction_id, digests };
    Ok(ExportItem::Leaf { index: index as u64, leaf, row: prediction, labels: labels(row)? })
}

fn labels(row: &PgRow) -> Result<Vec<ExportedLabel>, sqlx::Error> {
    let labels: Option<Json<Vec<ExportedLabel>>> = row.try_get("labels")?;
    Ok(labels.map(|Json(labels)| labels).unwrap_or_default())
}
