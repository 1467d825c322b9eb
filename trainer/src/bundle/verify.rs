//! Verification of a released bundle: signature, digests, manifest, graph, golden outputs and maps. Needs
//! only the bundle.

mod graph;
mod outputs;
mod table;
pub(crate) use outputs::golden_pixels;
pub use table::{Check, Outcome, Verification};

use anyhow::{Context, Result, anyhow, ensure};
use cxr::bundle::{Bundle, BundleError, MANIFEST, Manifest, SIGNATURE, key_id};
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::DecodePublicKey;
use std::path::{Path, PathBuf};

/// A public key in SPKI PEM.
pub fn public_key(file: &Path) -> Result<VerifyingKey> {
    let pem = std::fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    VerifyingKey::from_public_key_pem(&pem)
        .with_context(|| format!("{}: is no Ed25519 public key in PEM", file.display()))
}

/// Checks a bundle until something does not match. Without a key nobody knows who made it; without ONNX Runtime its graph
/// is only read.
pub fn verify(folder: &Path, key: Option<&VerifyingKey>, onnxruntime: Option<&Path>) -> Verification {
    let mut table = Verification::default();
    make(&mut table, folder, key, onnxruntime);
    table
}

fn make(
    table: &mut Verification,
    folder: &Path,
    key: Option<&VerifyingKey>,
    onnxruntime: Option<&Path>,
) -> Option<()> {
    let bundle = open(table, folder, key)?;
    let manifest = bundle.manifest();
    table.check("nothing else", nothing_else(folder, manifest))?;
    for (name, variant) in &manifest.variants {
        table.check(&format!("graph {name}"), graph::check(&bundle, variant))?;
        match onnxruntime {
            Some(library) => outputs::check(table, &bundle, name, variant, library)?,
            None => table.skipped(&format!("outputs {name}"), "no --onnxruntime: the graph was not run"),
        }
    }
    Some(())
}

/// Signature, manifest, digests, model card and reference, in the order in which [`Bundle::open`] looks at them.
fn open(table: &mut Verification, folder: &Path, key: Option<&VerifyingKey>) -> Option<Bundle> {
    let opened = super::read(folder, key);
    let (n_before, name) = opened.as_ref().err().map_or((5, ""), stage);
    if n_before > 0 {
        match key {
            Some(key) => table.passed("signature", format!("Ed25519 by key {}", key_id(key))),
            None => table.skipped("signature", "no --public-key: who made the bundle is not proven"),
        }
    }
    let digests = opened.as_ref().map_or_else(
        |_| "every file as the manifest lists it".to_owned(),
        |bundle| {
            let files = &bundle.manifest().files;
            let n_bytes: u64 = files.values().map(|file| file.bytes).sum();
            format!("{} files, {n_bytes} bytes", files.len())
        },
    );
    let rest = [("manifest", MANIFEST), ("digests", digests.as_str()), ("model card", Manifest::CARD)];
    for (name, detail) in rest.into_iter().take(usize::saturating_sub(n_before, 1)) {
        table.passed(name, detail);
    }
    match opened {
        Ok(bundle) => Some(bundle),
        Err(error) => {
            let mut told = format!("{:#}", anyhow::Error::from(error));
            if told.contains("signed by key") {
                told.push_str("; pass the public key of whoever signed it with --public-key");
            }
            table.check(name, Err(anyhow!(told)))?;
            None
        }
    }
}

/// How many of signature, manifest, digests and model card were right before this was wrong, and what it belongs to.
fn stage(error: &BundleError) -> (usize, &'static str) {
    match error {
        BundleError::Signature { .. } => (0, "signature"),
        BundleError::Json { file, .. } | BundleError::Read { file, .. } if file == SIGNATURE => {
            (0, "signature")
        }
        // A manifest that is missing or absurdly large is refused before its signature is looked at.
        BundleError::Read { file, .. } if file == MANIFEST => (0, "manifest"),
        BundleError::Manifest { what } if what.starts_with("larger") => (0, "manifest"),
        BundleError::Card { .. } => (3, "model card"),
        BundleError::Json { file, .. } if file == Manifest::REFERENCE => (4, "reference"),
        BundleError::Manifest { .. } | BundleError::Json { .. } => (1, "manifest"),
        BundleError::Digest { .. } | BundleError::Read { .. } => (2, "digests"),
    }
}

/// Every file in the folder is one that the manifest lists.
fn nothing_else(folder: &Path, manifest: &Manifest) -> Result<String> {
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let path = folder.join(&below);
        let entries =
            std::fs::read_dir(&path).with_context(|| format!("{}: cannot be listed", path.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = below.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(name);
                continue;
            }
            let text = name.to_string_lossy();
            let listed = manifest.files.contains_key(text.as_ref()) || text == MANIFEST || text == SIGNATURE;
            ensure!(listed, "{text}: is not listed in {MANIFEST}: nobody vouches for it; remove it");
            ensure!(kind.is_file(), "{text}: is a link or a device, no file");
        }
    }
    Ok("every file is listed".to_owned())
}
