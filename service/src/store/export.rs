//! Reads the whole log from one snapshot, row by row and in the order of the tree.

use super::tree::{Leaf, SignedCheckpoint};
use super::{Reader, StoreError, write};
use crate::record::AuditRow;
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
    pub label: String,
    pub source: String,
    #[serde(with = "time::serde::rfc3339")]
    pub labelled_at: OffsetDateTime,
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
        let parts: [(_, fn(&PgRow) -> Result<Vec<ExportItem>, sqlx::Error>); 3] =
            [(LEAVES, leaf), (LARGER_CHECKPOINTS, checkpoint), (UNSEQUENCED, unsequenced)];
        for (query, items) in parts {
            let mut rows = sqlx::query(query).persistent(false).fetch(&mut *transaction);
            while let Some(row) = rows.try_next().await.map_err(StoreError::Statement)? {
                items(&row).map_err(StoreError::Statement)?.into_iter().try_for_each(&mut take)?;
            }
        }
        Ok(())
    }
}

/// A leaf and the checkpoint that ends with it, if there is one.
fn leaf(row: &PgRow) -> Result<Vec<ExportItem>, sqlx::Error> {
    let index: i64 = row.try_get("leaf_index")?;
    let present: Option<Uuid> = row.try_get("id")?;
    let prediction = present.map(|_| AuditRow::from_row(row)).transpose()?.map(Box::new);
    let (index, leaf) = (index as u64, Leaf::from_row(row)?);
    let mut items = vec![ExportItem::Leaf { index, leaf, row: prediction, labels: labels(row)? }];
    items.extend(checkpoint(row)?);
    Ok(items)
}

fn checkpoint(row: &PgRow) -> Result<Vec<ExportItem>, sqlx::Error> {
    let Some(size) = row.try_get::<Option<i64>, _>("tree_size")? else { return Ok(Vec::new()) };
    let (size, root, note) = (size as u64, Hash(row.try_get("root_hash")?), row.try_get("note")?);
    Ok(vec![ExportItem::Checkpoint(SignedCheckpoint { size, root, note })])
}

fn unsequenced(row: &PgRow) -> Result<Vec<ExportItem>, sqlx::Error> {
    let prediction = Box::new(AuditRow::from_row(row)?);
    let (waits, labels) = (row.try_get("waits")?, labels(row)?);
    Ok(vec![ExportItem::Unsequenced { row: prediction, waits, labels }])
}

fn labels(row: &PgRow) -> Result<Vec<ExportedLabel>, sqlx::Error> {
    let labels: Option<Json<Vec<ExportedLabel>>> = row.try_get("labels")?;
    Ok(labels.map(|Json(labels)| labels).unwrap_or_default())
}
