//! The row sealed with its leaf and HMAC, and the durations in its column `timings`.

use super::hmac::SiteKey;
use super::idempotency::{FirstAnswer, SealedAnswer};
use super::{AuditRow, Digests};
use serde::{Deserialize, Serialize};

/// A row with its leaf; it cannot change any more.
#[derive(Debug)]
pub struct SealedRow {
    row: AuditRow,
    digests: Digests,
    leaf_hmac: [u8; 32],
    answer: Option<SealedAnswer>,
}

/// The keys of the HMACs by which the service recognises what it wrote itself.
pub struct Seals {
    pub leaf: SiteKey,
    pub answer: SiteKey,
}

impl AuditRow {
    /// Computes the leaf and its HMAC. The answer is committed with the row but is not part of it.
    pub fn seal(self, seals: &Seals, answer: Option<FirstAnswer>) -> serde_json::Result<SealedRow> {
        let digests = self.digests()?;
        let leaf_hmac = seals.leaf.digest(&digests.leaf_hash.0);
        let seal = |answer| SealedAnswer::new(&seals.answer, answer, self.id, &digests.leaf_hash);
        let answer = answer.map(seal).transpose()?;
        Ok(SealedRow { row: self, digests, leaf_hmac, answer })
    }
}

impl SealedRow {
    pub const fn row(&self) -> &AuditRow {
        &self.row
    }

    pub const fn digests(&self) -> &Digests {
        &self.digests
    }

    pub const fn leaf_hmac(&self) -> &[u8; 32] {
        &self.leaf_hmac
    }

    /// The answer to store under the request's idempotency key.
    pub const fn answer(&self) -> Option<&SealedAnswer> {
        self.answer.as_ref()
    }
}

/// Milliseconds by phase; a phase that was not reached is absent.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PhaseTimings {
    /// From the request's head to the end of its body: authentication, admission and upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode: Option<f64>,
    /// Windowing, resizing and contrast enhancement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<f64>,
    /// Running the batch with this image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infer: Option<f64>,
}
