//! The last step of every bundle: digests of all files, the manifest, the signature over it.

use super::{BundleFiles, digest, json};
use anyhow::Result;
use cxr::bundle::{MANIFEST, Manifest, SIGNATURE, sign};
use ed25519_dalek::SigningKey;

/// Enters every file in the manifest and adds manifest and signature to the files.
///
/// # Errors
/// When the manifest cannot be written as JSON.
pub(crate) fn seal(manifest: &mut Manifest, files: &mut BundleFiles, key: &SigningKey) -> Result<()> {
    manifest.files = files.iter().map(|(name, bytes)| (name.clone(), digest(bytes))).collect();
    let bytes = json(manifest)?;
    files.insert(SIGNATURE.to_owned(), json(&sign(&bytes, key))?);
    files.insert(MANIFEST.to_owned(), bytes);
    Ok(())
}
