//! The first answer under an idempotency key, stored for retries with an HMAC that proves its origin.

use super::hmac::SiteKey;
use serde_json::Value;
use tlog_tiles::Hash;
use uuid::Uuid;

/// An idempotency key and the request that was sent under it, both as HMACs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey {
    /// HMAC of the client and its key: equal keys of two clients differ here.
    pub digest: [u8; 32],
    pub fingerprint: [u8; 32],
}

#[derive(Debug, Clone)]
pub struct FirstAnswer {
    pub key: RequestKey,
    /// The members of the answer that its row does not hold.
    pub answer: Value,
}

/// A first answer with the HMAC that binds it to its key and its row.
#[derive(Debug, Clone)]
pub struct SealedAnswer {
    pub first: FirstAnswer,
    pub prediction_id: Uuid,
    /// Covers all of it and the row's leaf.
    pub hmac: [u8; 32],
}

impl SealedAnswer {
    /// Computes the HMAC under the key of [`answer_key`].
    pub fn new(
        answer_key: &SiteKey,
        first: FirstAnswer,
        prediction_id: Uuid,
        leaf_hash: &Hash,
    ) -> serde_json::Result<Self> {
        let RequestKey { digest, fingerprint } = &first.key;
        let covered = covered(digest, fingerprint, prediction_id, leaf_hash, &first.answer)?;
        Ok(Self { hmac: answer_key.digest(&covered), first, prediction_id })
    }
}

/// What the HMAC covers: four values of fixed length, then the answer's canonical JSON (RFC 8785). The leaf
/// hash stands for the whole row.
fn covered(
    digest: &[u8],
    fingerprint: &[u8],
    prediction_id: Uuid,
    leaf_hash: &Hash,
    answer: &Value,
) -> serde_json::Result<Vec<u8>> {
    let answer = serde_json_canonicalizer::to_vec(answer)?;
    Ok([digest, fingerprint, prediction_id.as_bytes(), &leaf_hash.0, &answer].concat())
}

/// The key of the HMACs of stored answers.
pub fn answer_key(site_key: &SiteKey) -> SiteKey {
    site_key.derived("kept answer")
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct StoredAnswer {
    pub fingerprint: Vec<u8>,
    pub prediction_id: Uuid,
    pub answer: Value,
    /// The HMAC; `None` if a release before migration 12 stored the answer.
    pub code: Option<Vec<u8>>,
    /// Whether it is older than answers are kept.
    pub expired: bool,
}

impl StoredAnswer {
    /// Whether a holder of `answer_key` stored this answer under `key` for the row with that leaf.
    pub fn is_ours(&self, answer_key: &SiteKey, key: &RequestKey, leaf_hash: &Hash) -> bool {
        let code = self.code.as_deref().unwrap_or_default();
        covered(&key.digest, &self.fingerprint, self.prediction_id, leaf_hash, &self.answer)
            .is_ok_and(|covered| answer_key.is_digest(&covered, code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::Secret;

    #[test]
    fn a_stored_answer_that_was_changed_is_not_recognised() {
        let site_key = SiteKey::new(&Secret::from("a key of this site"));
        let (ours, leaf) = (answer_key(&site_key), Hash([7; 32]));
        let key = RequestKey { digest: [1; 32], fingerprint: [2; 32] };
        let first = FirstAnswer { key, answer: serde_json::json!({ "class": "NORMAL", "b": 1 }) };
        let sealed = SealedAnswer::new(&ours, first, Uuid::nil(), &leaf).unwrap();
        let stored = StoredAnswer {
            fingerprint: key.fingerprint.to_vec(),
            prediction_id: Uuid::nil(),
            answer: serde_json::json!({ "b": 1, "class": "NORMAL" }),
            code: Some(sealed.hmac.to_vec()),
            expired: false,
        };
        assert!(stored.is_ours(&ours, &key, &leaf), "the order of members means nothing");
        let changed = [
            StoredAnswer { fingerprint: vec![3; 32], ..stored.clone() },
            StoredAnswer { prediction_id: Uuid::max(), ..stored.clone() },
            StoredAnswer { answer: serde_json::json!({ "b": 1, "class": "PNEUMONIA" }), ..stored.clone() },
            StoredAnswer { code: Some(vec![0; 32]), ..stored.clone() },
            StoredAnswer { code: None, ..stored.clone() },
        ];
        assert!(changed.iter().all(|changed| !changed.is_ours(&ours, &key, &leaf)));
        assert!(!stored.is_ours(&ours, &key, &Hash([8; 32])), "another row");
        assert!(!stored.is_ours(&ours, &RequestKey { digest: [9; 32], ..key }, &leaf), "another key");
        assert!(!stored.is_ours(&site_key, &key, &leaf), "another service's");
    }
}
