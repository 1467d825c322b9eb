//! The files of a bundle before they are written: names, digests, manifest and signature.

use anyhow::Result;
use cxr::bundle::{FileDigest, MANIFEST, Manifest, SIGNATURE, sha256_hex, sign};
use cxr::reference::Reference;
use ed25519_dalek::SigningKey;
use std::collections::BTreeMap;

pub(crate) const GRAPH: &str = "model.onnx";

pub(crate) type BundleFiles = BTreeMap<String, Vec<u8>>;

/// Lists every file in the manifest, and adds the manifest and its signature to the files.
pub(crate) fn seal(manifest: &mut Manifest, files: &mut BundleFiles, key: &SigningKey) -> Result<()> {
    manifest.files = files.iter().map(|(name, bytes)| (name.clone(), digest(bytes))).collect();
    let bytes = json(manifest)?;
    files.insert(SIGNATURE.to_owned(), json(&sign(&bytes, key))?);
    files.insert(MANIFEST.to_owned(), bytes);
    Ok(())
}

pub(crate) fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// On one line: its thousands of numbers would each have a line of their own.
pub(crate) fn reference_json(reference: &Reference) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(reference)?;
    bytes.push(b'\n');
    Ok(bytes)
}

pub(crate) fn digest(bytes: &[u8]) -> FileDigest {
    FileDigest { sha256: sha256_hex(bytes), bytes: bytes.len() as u64 }
}
