//! Reads the whole log from one snapshot, row by row and in the order of the tree.

use super::tree::{Leaf, SignedCheckpoint};
use super::{Reader, StoreError, write};
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

/// Each leaf with its row, and with the checkpoint that ends at this leaf.
const LEAVES: &str = concat!(
    "SELECT leaf_index, audit_leaves.prediction_id, leaf_hash, row_hash, tree_size, root_hash, note, predictions.*, ",
    labels!(),
    "FROM audit_leaves
LEFT JOIN predictions ON id = audit_leaves.prediction_id
LEFT JOIN audit_checkpoints ON tree_size = leaf_index + 1
ORDER BY leaf_index"
);

/// Rows that are not in the tree: pending ones, and ones that the service did not write.
const UNSEQUENCED: &str = concat!(
    "SELECT predictions.*, EXISTS (SELECT FROM audit_pending WHERE prediction_id = id) AS waits, ",
    labels!(),
    "FROM predictions WHERE NOT EXISTS (SELECT FROM audit_leaves WHERE prediction_id = id) ORDER BY id"
);

/// Checkpoints of more leaves than there are: the verifier reports them.
const LARGER_CHECKPOINTS: &str = "
SELECT tree_size, root_hash, note FROM audit_checkpoints
WHERE tree_size > (SELECT coalesce(max(leaf_index) + 1, 0) FROM audit_leaves) ORDER BY tree_size";

const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// One item of an export. Leaves come in the order of the tree, each checkpoint after its last leaf; rows
/// that are not in the tree come last.
pub enum ExportItem {
    /// A leaf; its row is absent if retention dropped it.
    Leaf {
        index: u64,
        leaf: Leaf,
        row: Option<Box<AuditRow>>,
        /// Labels of the row, the current one first.
        labels: Vec<ExportedLabel>,
    },
    Checkpoint(SignedCheckpoint),
    /// A row that is not in the tree.
    Unsequenced {
        row: Box<AuditRow>,
        /// Whether its leaf is pending.
        waits: bool,
        labels: Vec<ExportedLabel>,
    },
}

/// A label in an export. No leaf covers it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportedLabel {
    /// `positive` or `negative`.
    pub label: String,
    /// Source of the label, such as `radiologist`.
    pub source: String,
    /// When the finding was made.
    #[serde(with = "time::serde::rfc3339")]
    pub labelled_at: OffsetDateTime,
    /// When the label was inserted, by the database's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub recorded_at: OffsetDateTime,
}

impl Reader {
    /// Passes every item to `take`, over a connection of its own and without a statement timeout.
    pub async fn export<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(ExportItem) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut session = self.0.connect().await?;
        let mut transaction = session.transaction().await.map_err(StoreError::Statement)?;
        for setting in [SNAPSHOT, "SET LOCAL statement_timeout = 0"] {
            let setting = sqlx::query(setting).persistent(false);
            write::command(&mut *transaction, setting).await.map_err(StoreError::Statement)?;
        }
        let mut leaves = sqlx::query(LEAVES).persistent(false).fetch(&mut *transaction);
        while let Some(row) = leaves.try_next().await.map_err(StoreError::Statement)? {
            take(leaf(&row).map_err(StoreError::Statement)?)?;
            if let Some(checkpoint) = checkpoint(&row).map_err(StoreError::Statement)? {
                take(ExportItem::Checkpoint(checkpoint))?;
            }
        }
        drop(leaves);
        let mut checkpoints = sqlx::query(LARGER_CHECKPOINTS).persistent(false).fetch(&mut *transaction);
        while let Some(row) = checkpoints.try_next().await.map_err(StoreError::Statement)? {
            if let Some(checkpoint) = checkpoint(&row).map_err(StoreError::Statement)? {
                take(ExportItem::Checkpoint(checkpoint))?;
            }
        }
        drop(checkpoints);
        let mut unsequenced = sqlx::query(UNSEQUENCED).persistent(false).fetch(&mut *transaction);
        while let Some(row) = unsequenced.try_next().await.map_err(StoreError::Statement)? {
            take(row_alone(&row).map_err(StoreError::Statement)?)?;
        }
        Ok(())
    }
}

fn checkpoint(row: &PgRow) -> Result<Option<SignedCheckpoint>, sqlx::Error> {
    let Some(size) = row.try_get::<Option<i64>, _>("tree_size")? else { return Ok(None) };
    let root: [u8; 32] = row.try_get("root_hash")?;
    Ok(Some(SignedCheckpoint { size: size as u64, root: Hash(root), note: row.try_get("note")? }))
}

fn row_alone(row: &PgRow) -> Result<ExportItem, sqlx::Error> {
    let prediction = Box::new(AuditRow::from_row(row)?);
    Ok(ExportItem::Unsequenced { row: prediction, waits: row.try_get("waits")?, labels: labels(row)? })
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
