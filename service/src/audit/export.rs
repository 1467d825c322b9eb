//! The export of the log: a file that can be verified without the database. Each line is one JSON object.
//!
//! - A leaf: `{"leaf_index":0,"id":"..","leaf_hash":"..","row_hash":"..","recorded_at":"..","row":{..}}`, in
//!   the order of the tree. `row` is the canonical form, or `null` if retention dropped the row.
//! - A checkpoint, after its last leaf: `{"tree_size":1,"checkpoint":".."}`.
//! - At the end, a row that is not in the tree: `{"id":"..","waits":true,"row":{..}}`.
//!
//! A row with labels has `"labels":[{"label":"..","source":"..","labelled_at":"..","recorded_at":".."}]`
//! beside it, the current label first. They are not in the row, because no leaf covers a label.

use crate::record::AuditRow;
use crate::record::columns::microseconds;
use crate::store::{ExportItem, ExportedLabel, Leaf, Reader, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;
use std::io::Write;
use uuid::Uuid;

#[derive(Debug)]
pub enum Line<'a> {
    Leaf(LeafLine<'a>),
    Checkpoint(CheckpointLine<'a>),
    /// A row that is not in the tree.
    Unsequenced(UnsequencedLine<'a>),
}

#[derive(Debug, Serialize)]
pub struct LeafLine<'a> {
    pub leaf_index: u64,
    pub id: Uuid,
    /// Leaf hash, in base64.
    pub leaf_hash: Cow<'a, str>,
    /// SHA-256 of the canonical form, in base64; with the id it gives the leaf. None before version 4.
    pub row_hash: Option<Cow<'a, str>>,
    pub recorded_at: Option<Cow<'a, str>>,
    /// Labels of the row; the leaf does not cover them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Cow<'a, RawValue>>,
    pub row: Option<Cow<'a, RawValue>>,
}

#[derive(Debug, Serialize)]
pub struct CheckpointLine<'a> {
    pub tree_size: u64,
    pub checkpoint: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
pub struct UnsequencedLine<'a> {
    pub id: Uuid,
    /// Whether its leaf is pending.
    pub waits: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Cow<'a, RawValue>>,
    pub row: Cow<'a, RawValue>,
}

/// Any kind of line. An untagged enum of serde would parse the row and lose its text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyLine<'a> {
    leaf_index: Option<u64>,
    id: Option<Uuid>,
    #[serde(borrow)]
    leaf_hash: Option<Cow<'a, str>>,
    #[serde(borrow)]
    row_hash: Option<Cow<'a, str>>,
    recorded_at: Option<Cow<'a, str>>,
    waits: Option<bool>,
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
    #[serde(borrow)]
    row: Option<&'a RawValue>,
    tree_size: Option<u64>,
    checkpoint: Option<Cow<'a, str>>,
}

impl<'a> Line<'a> {
    pub fn parse(text: &'a [u8]) -> serde_json::Result<Self> {
        let line: AnyLine<'a> = serde_json::from_slice(text)?;
        let labels = line.labels.map(Cow::Borrowed);
        match line {
            AnyLine { leaf_index: Some(leaf_index), id: Some(id), leaf_hash: Some(leaf_hash), .. }
                if line.tree_size.is_none() =>
            {
                let (row_hash, recorded_at) = (line.row_hash, line.recorded_at);
                let row = line.row.map(Cow::Borrowed);
                Ok(Self::Leaf(LeafLine { leaf_index, id, leaf_hash, row_hash, recorded_at, labels, row }))
            }
            AnyLine { id: Some(id), waits: Some(waits), row: Some(row), leaf_index: None, .. } => {
                Ok(Self::Unsequenced(UnsequencedLine { id, waits, labels, row: Cow::Borrowed(row) }))
            }
            AnyLine {
                tree_size: Some(tree_size), checkpoint: Some(checkpoint), leaf_index: None, ..
            } => Ok(Self::Checkpoint(CheckpointLine { tree_size, checkpoint })),
            _ => Err(serde::de::Error::custom("neither a leaf nor a checkpoint nor a row")),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("the audit log cannot be read")]
    Store(#[from] StoreError),
    #[error("the export cannot be written")]
    Write(#[from] std::io::Error),
    #[error("row {id} cannot be encoded")]
    Encoding {
        id: Uuid,
        #[source]
        source: serde_json::Error,
    },
}

/// Writes the export in constant memory and returns the number of leaves and rows.
pub async fn export(
    reader: &Reader,
    out: &mut impl Write,
    mut progress: impl FnMut(u64),
) -> Result<u64, ExportError> {
    let mut n_rows = 0;
    let written = reader.export::<ExportError>(|item| {
        match item {
            ExportItem::Checkpoint(checkpoint) => {
                let line = CheckpointLine { tree_size: checkpoint.size, checkpoint: checkpoint.note.into() };
                return Ok(write_line(out, &line)?);
            }
            ExportItem::Leaf { index, leaf, row, labels } => {
                write_line(out, &leaf_line(index, &leaf, row.as_deref(), &labels)?)?;
            }
            ExportItem::Unsequenced { row, waits, labels } => {
                let labels = labels_json(row.id, &labels)?;
                write_line(out, &UnsequencedLine { id: row.id, waits, labels, row: canonical(&row)? })?;
            }
        }
        n_rows += 1;
        progress(n_rows);
        Ok(())
    });
    written.await?;
    out.flush()?;
    Ok(n_rows)
}

fn leaf_line(
    leaf_index: u64,
    leaf: &Leaf,
    row: Option<&AuditRow>,
    labels: &[ExportedLabel],
) -> Result<LeafLine<'static>, ExportError> {
    Ok(LeafLine {
        leaf_index,
        id: leaf.prediction_id,
        leaf_hash: leaf.digests.leaf_hash.to_string().into(),
        row_hash: leaf.digests.row_hash.map(|hash| hash.to_string().into()),
        recorded_at: row.and_then(|row| row.recorded_at).map(|at| microseconds(at).into()),
        labels: labels_json(leaf.prediction_id, labels)?,
        row: row.map(canonical).transpose()?,
    })
}

fn canonical(row: &AuditRow) -> Result<Cow<'static, RawValue>, ExportError> {
    let text = serde_json_canonicalizer::to_string(row).and_then(RawValue::from_string);
    text.map(Cow::Owned).map_err(|source| ExportError::Encoding { id: row.id, source })
}

fn labels_json(id: Uuid, labels: &[ExportedLabel]) -> Result<Option<Cow<'static, RawValue>>, ExportError> {
    if labels.is_empty() {
        return Ok(None);
    }
    let text = to_raw_value(labels).map_err(|source| ExportError::Encoding { id, source })?;
    Ok(Some(Cow::Owned(text)))
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
