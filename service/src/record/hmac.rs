//! HMACs: they link equal inputs without revealing them.

use crate::config::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// An HMAC-SHA256 key: the site's, `service.audit.input_key`, or one derived from it.
#[derive(Clone)]
pub struct SiteKey(Hmac<Sha256>);

impl SiteKey {
    pub fn new(secret: &Secret) -> Self {
        Self::of(secret.expose().as_bytes())
    }

    fn of(key: &[u8]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
        Self(Hmac::new_from_slice(key).expect("any length"))
    }

    /// A separate key for one purpose, so that digests of two purposes never coincide.
    #[must_use]
    pub fn derived(&self, purpose: &str) -> Self {
        Self::of(&self.digest(purpose.as_bytes()))
    }

    pub fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        self.0.clone().chain_update(bytes).finalize().into_bytes().into()
    }

    /// Whether `digest` is the HMAC of `bytes`; compares in constant time.
    pub fn is_digest(&self, bytes: &[u8], digest: &[u8]) -> bool {
        self.0.clone().chain_update(bytes).verify_slice(digest).is_ok()
    }

    /// The HMAC of parts, each after its length, so that two different lists never give the same bytes.
    pub fn digest_parts(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// The key of the HMACs by which the sequencer recognises the service's own leaves.
pub fn leaf_key(site_key: &SiteKey) -> SiteKey {
    site_key.derived("leaf")
}

/// The pseudonym in a subject's rows: HMAC of the identifier under the subject's own key.
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
