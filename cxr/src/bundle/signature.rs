//! Signatures: Ed25519 over the manifest's digest. The manifest lists the digest of every other file.

use super::{BundleError, MANIFEST, SIGNATURE, parse_json, sha256_hex};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// Contents of the file `signature`: Ed25519 over `cxr-bundle-v1\n`, the hexadecimal SHA-256 of `bundle.json`
/// and `\n`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleSignature {
    /// First 16 hexadecimal digits of the SHA-256 of the public key.
    pub key_id: String,
    /// The 64-byte signature in hexadecimal.
    pub ed25519: String,
}

/// Whether a bundle must be signed.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The digests alone are checked.
    Unsigned,
    /// The signature must be valid for one of these keys.
    SignedBy(Vec<VerifyingKey>),
}

/// Key id: the first 16 hexadecimal digits of the public key's SHA-256.
pub fn key_id(key: &VerifyingKey) -> String {
    sha256_hex(key.as_bytes())[..16].to_owned()
}

/// Signs the bytes of a `bundle.json`.
pub fn sign(manifest_bytes: &[u8], key: &SigningKey) -> BundleSignature {
    let signature = key.sign(&signed_message(&sha256_hex(manifest_bytes)));
    BundleSignature { key_id: key_id(&key.verifying_key()), ed25519: hex::encode(signature.to_bytes()) }
}

fn signed_message(digest: &str) -> Vec<u8> {
    format!("cxr-bundle-v1\n{digest}\n").into_bytes()
}

pub(super) fn check_signature(
    file: Option<&[u8]>,
    digest: &str,
    trust: &Trust,
) -> Result<Option<String>, BundleError> {
    let fail = |what: String| Err(BundleError::Signature { what });
    let Trust::SignedBy(keys) = trust else { return Ok(None) };
    let Some(file) = file else {
        return fail("the bundle is not signed, but a public key is configured".into());
    };
    let signature: BundleSignature = parse_json(SIGNATURE, file)?;
    let Some(key) = keys.iter().find(|key| key_id(key) == signature.key_id) else {
        let known: Vec<String> = keys.iter().map(key_id).collect();
        return fail(format!("signed by key {:?}, the configured keys are {known:?}", signature.key_id));
    };
    let bytes = hex::decode(&signature.ed25519).ok().and_then(|b| Signature::from_slice(&b).ok());
    let Some(bytes) = bytes else { return fail("not 64 bytes of hexadecimal".into()) };
    if key.verify_strict(&signed_message(digest), &bytes).is_err() {
        return fail(format!(
            "does not match {MANIFEST} (SHA-256 {digest}): the manifest was changed after signing"
        ));
    }
    Ok(Some(signature.key_id))
}
