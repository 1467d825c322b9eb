//! Retries: a request that bears the key of an earlier one gets the earlier one's answer, and never a second row.

use super::keyed::SiteKey;
use crate::config::secret::Secret;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
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

/// An answer that was kept.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Earlier {
    /// Of what was sent then.
    pub fingerprint: Vec<u8>,
    /// Its row.
    pub prediction_id: Uuid,
    /// What it said beyond its row.
    pub answer: Value,
    /// Whether that is longer ago than answers are kept.
    pub expired: bool,
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
