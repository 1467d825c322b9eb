//! Receipts in answers and problem documents.

use crate::audit;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// Signed proof that an audit row was committed. It protects the row until a checkpoint includes it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Receipt {
    /// The row's leaf, in base64: SHA-256 of a zero byte, the 16 bytes of the id and the SHA-256 of the row's
    /// canonical form. Before encoding version 4: SHA-256 of a zero byte and the canonical form.
    leaf_hash: String,
    /// When the receipt was signed.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    signed_at: OffsetDateTime,
    /// Id of the log's signing key.
    #[schema(example = "5f3c9a01")]
    key_id: String,
    /// The receipt as a signed note (c2sp.org/signed-note).
    note: String,
}

impl Receipt {
    pub(crate) fn of(receipt: &audit::SignedReceipt) -> Self {
        Self {
            leaf_hash: receipt.leaf_hash.to_string(),
            signed_at: receipt.signed_at,
            key_id: receipt.key_id.clone(),
            note: receipt.note.clone(),
        }
    }
}

/// The committed audit row that an error refers to.
#[derive(Debug)]
pub(crate) struct CommittedRow {
    pub(crate) id: Uuid,
    pub(crate) receipt: Receipt,
}

impl CommittedRow {
    pub(crate) fn of(receipt: &audit::SignedReceipt) -> Self {
        Self { id: receipt.id, receipt: Receipt::of(receipt) }
    }
}

#[cfg(test)]
impl CommittedRow {
    pub(crate) fn nothing() -> Self {
        let signed_at = OffsetDateTime::UNIX_EPOCH;
        let (leaf_hash, key_id, note) = Default::default();
        Self { id: Uuid::nil(), receipt: Receipt { leaf_hash, signed_at, key_id, note } }
    }
}
