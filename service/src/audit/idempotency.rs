//! Idempotency keys of requests, and which of them this process is working on.

use crate::config::secret::Secret;
use crate::record::hmac::SiteKey;
use crate::record::idempotency::RequestKey;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Digests idempotency keys, and lets one request at a time work under each.
pub struct IdempotencyKeys {
    site_key: SiteKey,
    in_progress: Arc<Mutex<HashSet<[u8; 32]>>>,
}

/// The right to work under a key, until it is dropped.
#[derive(Debug)]
pub struct InProgress {
    digest: [u8; 32],
    in_progress: Arc<Mutex<HashSet<[u8; 32]>>>,
}

impl IdempotencyKeys {
    pub fn new(site_key: &SiteKey) -> Self {
        Self { site_key: site_key.derived("idempotency key"), in_progress: Arc::default() }
    }

    /// The digests of a client's idempotency key and of the `parts` of its request.
    pub fn key(&self, actor: &str, idempotency_key: &Secret, parts: &[&[u8]]) -> RequestKey {
        RequestKey {
            digest: self.site_key.digest_parts(&[actor.as_bytes(), idempotency_key.expose().as_bytes()]),
            fingerprint: self.site_key.digest_parts(parts),
        }
    }

    /// Begins the work under a key; `None` while another request works under it.
    pub fn begin(&self, key: &RequestKey) -> Option<InProgress> {
        let (digest, in_progress) = (key.digest, Arc::clone(&self.in_progress));
        let begun = in_progress.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        begun.then_some(InProgress { digest, in_progress })
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.in_progress.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_progress_once_and_belongs_to_its_client() {
        let keys = IdempotencyKeys::new(&SiteKey::new(&Secret::from("a key of this site")));
        let key = keys.key("one", &"k".into(), &[b"body"]);
        let begun = keys.begin(&key).unwrap();
        assert!(keys.begin(&key).is_none());
        assert!(keys.begin(&keys.key("two", &"k".into(), &[b"body"])).is_some());
        drop(begun);
        assert!(keys.begin(&key).is_some());
        assert_ne!(keys.key("one", &"k".into(), &[b"other"]).fingerprint, key.fingerprint);
    }
}
