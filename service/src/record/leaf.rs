//! From the canonical form of a row to its leaf in the tree.

use super::AuditRow;
use sha2::{Digest, Sha256};
use tlog_tiles::{Hash, record_hash};
use uuid::Uuid;

/// First encoding version whose leaf binds the id separately from the rest of the row.
const BINDS_ID: i16 = 4;

/// What the tree holds of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Digests {
    /// SHA-256 of the canonical form; proves the leaf without the row. `None` before encoding version 4.
    pub row_hash: Option<Hash>,
    pub leaf_hash: Hash,
}

impl Digests {
    /// Up to encoding version 3 the canonical form itself is the entry of the tree (RFC 9162, section 2.1.1).
    pub fn of(id: Uuid, encoding_version: i16, canonical: &[u8]) -> Self {
        if encoding_version < BINDS_ID {
            return Self { row_hash: None, leaf_hash: record_hash(canonical) };
        }
        let row_hash = Hash(Sha256::digest(canonical).into());
        Self { row_hash: Some(row_hash), leaf_hash: leaf_with_id(id, &row_hash) }
    }

    /// Whether the leaf belongs to this id. False before encoding version 4, whose leaves cannot prove it.
    pub fn bind(&self, id: Uuid) -> bool {
        self.row_hash.is_some_and(|row_hash| leaf_with_id(id, &row_hash) == self.leaf_hash)
    }
}

impl AuditRow {
    pub fn digests(&self) -> serde_json::Result<Digests> {
        Ok(Digests::of(self.id, self.encoding_version, &self.canonical()?))
    }
}

/// The leaf since encoding version 4: SHA-256 of a zero byte, the 16 bytes of the id and the row's hash.
fn leaf_with_id(id: Uuid, row_hash: &Hash) -> Hash {
    record_hash(&[id.as_bytes().as_slice(), &row_hash.0].concat())
}
