//! The receipt of a row in an answer or a problem document.

use crate::audit;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// Signed proof that an audit row was committed: it covers the row until a checkpoint does.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Receipt {
    /// The row's leaf in the log's tree: SHA-256 of a zero byte, the id's 16 bytes and the SHA-256 of the row's canonical form, in base64
    /// (encoding version 4; of the form alone before).
    leaf_hash: String,
    /// When it was signed.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    signed_at: OffsetDateTime,
    /// Id of the log's key.
    #[schema(example = "5f3c9a01")]
    key_id: String,
    /// All of this as a signed note (c2sp.org/signed-note).
    note: String,
}

impl Receipt {
    pub(super) fn of(receipt: &audit::Receipt) -> Self {
        Self {
            leaf_hash: receipt.leaf_hash.to_string(),
            signed_at: receipt.signed_at,
            key_id: receipt.key_id.clone(),
            note: receipt.note.clone(),
        }
    }
}

/// A committed row that an error speaks of.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) id: Uuid,
    pub(super) receipt: Receipt,
}

impl Recorded {
    pub(super) fn of(receipt: &audit::Receipt) -> Self {
        Self { id: receipt.id, receipt: Receipt::of(receipt) }
    }
}

#[cfg(test)]
impl Recorded {
    pub(super) fn nothing() -> Self {
        let signed_at = OffsetDateTime::UNIX_EPOCH;
        let (leaf_hash, key_id, note) = Default::default();
        Self { id: Uuid::nil(), receipt: Receipt { leaf_hash, signed_at, key_id, note } }
    }
}
