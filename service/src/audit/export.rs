//! The log as a file that can be verified far from the database: one JSON object a line, in the tree's order.
//!
//! `{"leaf_index":0,"id":"..","leaf_hash":"..","row_hash":"..","recorded_at":"..","row":{..}}` for each leaf, its row in canonical form
//! or `null` once retention has taken it; `{"tree_size":1,"checkpoint":".."}` for each signed head, after the last leaf below it; at
//! the end `{"id":"..","waits":true,"row":{..}}` for each row without a place in the tree. A row of which something was said later has
//! `"labels":[{"label":"..","source":"..","labelled_at":"..","recorded_at":".."}]` before it, the label that counts first: beside
//! the row and not in it, because no leaf covers a label.

use crate::record::AuditRow;
use crate::record::columns::microseconds;
use crate::store::{ExportItem, ExportedLabel, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;
use std::io::Write;
use uuid::Uuid;

/// One line.
#[derive(Debug)]
pub enum Line<'a> {
    /// A leaf.
    Leaf(LeafLine<'a>),
    /// A head.
    Head(HeadLine<'a>),
    /// A row without a place.
    Stray(StrayLine<'a>),
}

/// A leaf with its row.
#[derive(Debug, Serialize)]
pub struct LeafLine<'a> {
    /// Its place, counted from 0.
    pub leaf_index: u64,
    /// The row's id.
    pub id: Uuid,
    /// Its hash, in base64.
    pub leaf_hash: Cow<'a, str>,
    /// SHA-256 of the row's canonical form, in base64: with the id it makes the leaf. None before encoding version 4.
    pub row_hash: Option<Cow<'a, str>>,
    /// When the database inserted the row.
    pub recorded_at: Option<Cow<'a, str>>,
    /// What was said of it later; not covered by the leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Cow<'a, RawValue>>,
    /// The canonical form.
    pub row: Option<Cow<'a, RawValue>>,
}

/// A signed head.
#[derive(Debug, Serialize)]
pub struct HeadLine<'a> {
    /// Leaves below it.
    pub tree_size: u64,
    /// The note.
    pub checkpoint: Cow<'a, str>,
}

/// A row without a place.
#[derive(Debug, Serialize)]
pub struct StrayLine<'a> {
    /// The row's id.
    pub id: Uuid,
    /// Whether a leaf of it waits.
    pub waits: bool,
    /// What was said of it later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Cow<'a, RawValue>>,
    /// The canonical form.
    pub row: Cow<'a, RawValue>,
}

/// Any kind of line: serde's own way to tell them apart would take the row's text to pieces.
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
    /// Reads a line.
    ///
    /// # Errors
    /// When it is of no kind.
    pub fn parse(text: &'a [u8]) -> serde_json::Result<Self> {
        let line: AnyLine<'a> = serde_json::from_slice(text)?;
        let labels = line.labels.map(Cow::Borrowed);
        match line {
            AnyLine {
                leaf_index: Some(leaf_index),
                id: Some(id),
                leaf_hash: Some(leaf_hash),
                tree_size: None,
                ..
            } => {
                let (row_hash, recorded_at) = (line.row_hash, line.recorded_at);
                let row = line.row.map(Cow::Borrowed);
                Ok(Self::Leaf(LeafLine { leaf_index, id, leaf_hash, row_hash, recorded_at, labels, row }))
            }
            AnyLine { id: Some(id), waits: Some(waits), row: Some(row), leaf_index: None, .. } => {
                Ok(Self::Stray(StrayLine { id, waits, labels, row: Cow::Borrowed(row) }))
            }
            AnyLine {
                tree_size: Some(tree_size), checkpoint: Some(checkpoint), leaf_index: None, ..
            } => Ok(Self::Head(HeadLine { tree_size, checkpoint })),
            _ => Err(serde::de::Error::custom("neither a leaf nor a checkpoint nor a row")),
        }
    }
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database gave no answer.
    #[error("the audit log cannot be read")]
    Store(#[from] StoreError),
    /// The file cannot be written.
    #[error("the export cannot be written")]
    Write(#[from] std::io::Error),
    /// A row has no canonical form.
    #[error("row {id} cannot be encoded")]
    Encoding {
        /// The row.
        id: Uuid,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },
}

/// Writes every row and every head; how many rows. Memory stays constant: rows pass through one at a time.
///
/// # Errors
/// See [`ExportError`].
pub async fn export(
    store: &Store,
    out: &mut impl Write,
    mut progress: impl FnMut(u64),
) -> Result<u64, ExportError> {
    let mut n_rows = 0;
    let written = store.export(|item| {
        match item {
            ExportItem::Leaf { index, leaf, row, labels } => {
                write_line(out, &leaf_line(index, &leaf, row.as_deref(), &labels)?)?;
                n_rows += 1;
                progress(n_rows);
            }
            ExportItem::Head(head) => {
                let line = HeadLine { tree_size: head.size, checkpoint: head.note.into() };
                write_line(out, &line)?;
            }
            ExportItem::Stray { row, waits, labels } => {
                let labels = stated(row.id, &labels)?;
                let line = StrayLine { id: row.id, waits, labels, row: canonical(&row)? };
                write_line(out, &line)?;
                n_rows += 1;
                progress(n_rows);
            }
        }
        Ok::<_, ExportError>(())
    });
    written.await?;
    out.flush()?;
    Ok(n_rows)
}

fn leaf_line(
    leaf_index: u64,
    leaf: &crate::store::Leaf,
    row: Option<&AuditRow>,
    labels: &[ExportedLabel],
) -> Result<LeafLine<'static>, ExportError> {
    Ok(LeafLine {
        leaf_index,
        id: leaf.prediction_id,
        leaf_hash: leaf.digests.leaf_hash.to_string().into(),
        row_hash: leaf.digests.row_hash.map(|hash| hash.to_string().into()),
        recorded_at: row.and_then(|row| row.recorded_at).map(|at| microseconds(at).into()),
        labels: stated(leaf.prediction_id, labels)?,
        row: row.map(canonical).transpose()?,
    })
}

fn canonical(row: &AuditRow) -> Result<Cow<'static, RawValue>, ExportError> {
    let text = serde_json_canonicalizer::to_string(row).and_then(RawValue::from_string);
    text.map(Cow::Owned).map_err(|source| ExportError::Encoding { id: row.id, source })
}

/// None where nothing was said.
fn stated(id: Uuid, labels: &[ExportedLabel]) -> Result<Option<Cow<'static, RawValue>>, ExportError> {
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
