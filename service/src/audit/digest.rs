//! The keyed digest of an upload: links equal images without saying which image it was.

use crate::config::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// HMAC-SHA256 under the site's key, `service.audit.input_key`.
#[derive(Clone)]
pub struct InputKey(Hmac<Sha256>);

impl InputKey {
    /// From the configured secret; HMAC takes a key of any length.
    pub fn new(secret: &Secret) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
        Self(Hmac::new_from_slice(secret.expose().as_bytes()).expect("any length"))
    }

    /// The digest of an upload.
    pub fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_hmac_sha256() {
        // RFC 4231, test case 2.
        let digest = InputKey::new(&Secret::from("Jefe")).digest(b"what do ya want for nothing?");
        assert_eq!(hex::encode(digest), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
