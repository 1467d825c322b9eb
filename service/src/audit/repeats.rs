//! Retries: a request that bears the key of an earlier one gets the earlier one's answer, and never a second row.

use super::keyed::SiteKey;
use crate::config::secret::Secret;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use tlog_tiles::Hash;
use uuid::Uuid;

/// What a client calls its request, and what it sent: both as keyed digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey {
    /// Of the client and its key: equal keys of two clients are two keys.
    pub digest: [u8; 32],
    /// Of what was sent under it.
    pub fingerprint: [u8; 32],
}

/// An answer to be kept under its key.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The key.
    pub key: RequestKey,
    /// What the answer says that its row does not hold.
    pub answer: Value,
}

/// A kept answer with the code by which it is known as the service's own.
#[derive(Debug, Clone)]
pub struct SealedAnswer {
    /// Key and answer.
    pub kept: Kept,
    /// The row that it belongs to.
    pub prediction_id: Uuid,
    /// HMAC of all of it and of the row's leaf.
    pub code: [u8; 32],
}

impl SealedAnswer {
    /// Under the key of [`answer_key`].
    ///
    /// # Errors
    /// When the answer has no canonical form.
    pub fn new(
        answer_key: &SiteKey,
        kept: Kept,
        prediction_id: Uuid,
        leaf_hash: &Hash,
    ) -> serde_json::Result<Self> {
        let RequestKey { digest, fingerprint } = &kept.key;
        let covered = Covered { digest, fingerprint, prediction_id, leaf_hash, answer: &kept.answer };
        let code = answer_key.digest(&covered.canonical()?);
        Ok(Self { kept, prediction_id, code })
    }
}

/// What a code covers.
struct Covered<'a> {
    digest: &'a [u8],
    fingerprint: &'a [u8],
    prediction_id: Uuid,
    /// Of the row: with it the whole row.
    leaf_hash: &'a Hash,
    answer: &'a Value,
}

impl Covered<'_> {
    /// Fixed lengths one after the other, and the answer's canonical JSON (RFC 8785) at the end.
    fn canonical(&self) -> serde_json::Result<Vec<u8>> {
        let answer = serde_json_canonicalizer::to_vec(self.answer)?;
        let parts: [&[u8]; 5] =
            [self.digest, self.fingerprint, self.prediction_id.as_bytes(), &self.leaf_hash.0, &answer];
        Ok(parts.concat())
    }
}

/// The key of the codes of kept answers.
pub fn answer_key(site_key: &SiteKey) -> SiteKey {
    site_key.derived("kept answer")
}

/// An answer that was kept, as its table has it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Earlier {
    /// Of what was sent then.
    pub fingerprint: Vec<u8>,
    /// Its row.
    pub prediction_id: Uuid,
    /// What it said beyond its row.
    pub answer: Value,
    /// The code; none where a release before migration 12 kept it.
    pub code: Option<Vec<u8>>,
    /// Whether that is longer ago than answers are kept.
    pub expired: bool,
}

impl Earlier {
    /// Whether a holder of this key kept this answer under that key, for the row with that leaf.
    pub fn is_ours(&self, answer_key: &SiteKey, key: &RequestKey, leaf_hash: &Hash) -> bool {
        let covered = Covered {
            digest: &key.digest,
            fingerprint: &self.fingerprint,
            prediction_id: self.prediction_id,
            leaf_hash,
            answer: &self.answer,
        };
        let code = self.code.as_deref().unwrap_or_default();
        covered.canonical().is_ok_and(|covered| answer_key.is_digest(&covered, code))
    }
}

/// Makes the keys of requests, and knows which of them are being worked on in this process.
pub struct Requests {
    site_key: SiteKey,
    under_way: Arc<Mutex<HashSet<[u8; 32]>>>,
}

/// A key that is being worked on, until this is dropped.
#[derive(Debug)]
pub struct UnderWay {
    digest: [u8; 32],
    under_way: Arc<Mutex<HashSet<[u8; 32]>>>,
}

impl Requests {
    /// With the site's key.
    pub fn new(site_key: &SiteKey) -> Self {
        Self { site_key: site_key.derived("idempotency key"), under_way: Arc::default() }
    }

    /// The key of a client's request that sent `parts`.
    pub fn key(&self, actor: &str, stated: &Secret, parts: &[&[u8]]) -> RequestKey {
        RequestKey {
            digest: self.site_key.digest_parts(&[actor.as_bytes(), stated.expose().as_bytes()]),
            fingerprint: self.site_key.digest_parts(parts),
        }
    }

    /// Begins the work under a key, unless it is under way.
    pub fn begin(&self, key: &RequestKey) -> Option<UnderWay> {
        let (digest, under_way) = (key.digest, Arc::clone(&self.under_way));
        let begun = under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        begun.then_some(UnderWay { digest, under_way })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_changed_of_a_kept_answer_its_code_is_not_of_it() {
        let site_key = SiteKey::new(&Secret::from("a key of this site"));
        let (ours, leaf) = (answer_key(&site_key), Hash([7; 32]));
        let key = RequestKey { digest: [1; 32], fingerprint: [2; 32] };
        let kept = Kept { key, answer: serde_json::json!({ "class": "NORMAL", "b": 1 }) };
        let sealed = SealedAnswer::new(&ours, kept.clone(), Uuid::nil(), &leaf).unwrap();
        let stored = Earlier {
            fingerprint: key.fingerprint.to_vec(),
            prediction_id: Uuid::nil(),
            answer: serde_json::json!({ "b": 1, "class": "NORMAL" }),
            code: Some(sealed.code.to_vec()),
            expired: false,
        };
        assert!(stored.is_ours(&ours, &key, &leaf), "the order of members means nothing");
        let changed = [
            Earlier { fingerprint: vec![3; 32], ..stored.clone() },
            Earlier { prediction_id: Uuid::max(), ..stored.clone() },
            Earlier { answer: serde_json::json!({ "b": 1, "class": "PNEUMONIA" }), ..stored.clone() },
            Earlier { code: Some(vec![0; 32]), ..stored.clone() },
            Earlier { code: None, ..stored.clone() },
        ];
        assert!(changed.iter().all(|earlier| !earlier.is_ours(&ours, &key, &leaf)));
        assert!(!stored.is_ours(&ours, &key, &Hash([8; 32])), "another row");
        assert!(!stored.is_ours(&ours, &RequestKey { digest: [9; 32], ..key }, &leaf), "another key");
        assert!(!stored.is_ours(&site_key, &key, &leaf), "another service's");
    }

    #[test]
    fn a_key_is_under_way_once_and_belongs_to_its_client() {
        let requests = Requests::new(&SiteKey::new(&Secret::from("a key of this site")));
        let key = requests.key("one", &"k".into(), &[b"body"]);
        let begun = requests.begin(&key).unwrap();
        assert!(requests.begin(&key).is_none());
        assert!(requests.begin(&requests.key("two", &"k".into(), &[b"body"])).is_some());
        drop(begun);
        assert!(requests.begin(&key).is_some());
        assert_ne!(requests.key("one", &"k".into(), &[b"other"]).fingerprint, key.fingerprint);
    }
}
