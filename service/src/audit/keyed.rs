//! Keyed digests: they link what is equal without saying what it was.

use crate::config::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// HMAC-SHA256 under the site's key, `service.audit.input_key`, or under one that is derived from it.
#[derive(Clone)]
pub struct SiteKey(Hmac<Sha256>);

impl SiteKey {
    /// From the configured secret; HMAC takes a key of any length.
    pub fn new(secret: &Secret) -> Self {
        Self::of(secret.expose().as_bytes())
    }

    fn of(key: &[u8]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
        Self(Hmac::new_from_slice(key).expect("any length"))
    }

    /// A key of its own for a purpose: no digest under it is one under another.
    #[must_use]
    pub fn derived(&self, purpose: &str) -> Self {
        Self::of(&self.digest(purpose.as_bytes()))
    }

    /// The digest of an upload.
    pub fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }

    /// Whether this is the digest of those bytes; how long that takes says nothing of where they differ.
    pub fn is_digest(&self, bytes: &[u8], digest: &[u8]) -> bool {
        let mut mac = self.0.clone();
        mac.update(bytes);
        mac.verify_slice(digest).is_ok()
    }

    /// The digest of parts, each after its length, so that no two lists of parts are the same text.
    pub fn digest_parts(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// The key of the codes by which the sequencer knows the service's own leaves.
pub fn leaf_key(site_key: &SiteKey) -> SiteKey {
    site_key.derived("leaf")
}

/// HMAC of an identifier under its subject's own key: what rows hold.
pub fn pseudonym(subject_key: &[u8], identifier: &Secret) -> [u8; 32] {
    SiteKey::of(subject_key).digest(identifier.expose().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_hmac_sha256() {
        // RFC 4231, test case 2.
        let digest = SiteKey::new(&Secret::from("Jefe")).digest(b"what do ya want for nothing?");
        assert_eq!(hex::encode(digest), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn parts_cannot_be_shifted_into_each_other_and_purposes_do_not_meet() {
        let key = SiteKey::new(&Secret::from("a key of this site"));
        assert_ne!(key.digest_parts(&[b"ab", b"c"]), key.digest_parts(&[b"a", b"bc"]));
        assert_ne!(key.derived("one").digest(b"x"), key.derived("two").digest(b"x"));
        assert_ne!(key.derived("one").digest(b"x"), key.digest(b"x"));
    }
}
