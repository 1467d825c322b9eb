//! Verifies a released bundle: signature, digests, manifest, graph, golden outputs, activation maps.

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

pub fn public_key(file: &Path) -> Result<VerifyingKey> {
    let pem = std::fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    VerifyingKey::from_public_key_pem(&pem)
        .with_context(|| format!("{}: not an Ed25519 public key in PEM", file.display()))
}

/// Stops at the first failure. Skips the signature without a key, the outputs without ONNX Runtime.
pub fn verify(folder: &Path, key: Option<&VerifyingKey>, onnxruntime: Option<&Path>) -> Verification {
    let mut table = Verification::default();
    check_all(&mut table, folder, key, onnxruntime);
    table
}

fn check_all(
    table: &mut Verification,
    folder: &Path,
    key: Option<&VerifyingKey>,
    onnxruntime: Option<&Path>,
) -> Option<()> {
    let bundle = open(table, folder, key)?;
    let manifest = bundle.manifest();
    table.check("nothing else", only_listed_files(folder, manifest))?;
    for (name, variant) in &manifest.variants {
        table.check(&format!("graph {name}"), graph::check(&bundle, variant))?;
        match onnxruntime {
            Some(library) => outputs::check(table, &bundle, name, variant, library)?,
            None => table.skipped(&format!("outputs {name}"), "no --onnxruntime: the graph was not run"),
        }
    }
    Some(())
}

/// [`Bundle::open`] checks signature, manifest, digests, model card and reference, in this order.
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
            let mut message = format!("{:#}", anyhow::Error::from(error));
            if message.contains("signed by key") {
                message.push_str("; pass the public key of the signer with --public-key");
            }
            table.check(name, Err(anyhow!(message)))?;
            None
        }
    }
}

/// The number of checks that passed before this error, and the name of the one that failed.
fn stage(error: &BundleError) -> (usize, &'static str) {
    match error {
        BundleError::Signature { .. } => (0, "signature"),
        BundleError::Json { file, .. } | BundleError::Read { file, .. } if file == SIGNATURE => {
            (0, "signature")
        }
        // A manifest that is missing or too large fails before the signature is checked.
        BundleError::Read { file, .. } if file == MANIFEST => (0, "manifest"),
        BundleError::Manifest { what } if what.starts_with("larger") => (0, "manifest"),
        BundleError::Card { .. } => (3, "model card"),
        BundleError::Json { file, .. } if file == Manifest::REFERENCE => (4, "reference"),
        BundleError::Manifest { .. } | BundleError::Json { .. } => (1, "manifest"),
        BundleError::Digest { .. } | BundleError::Read { .. } => (2, "digests"),
    }
}

fn only_listed_files(folder: &Path, manifest: &Manifest) -> Result<String> {
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
            ensure!(
                listed,
                "{text}: not listed in {MANIFEST}, so the signature does not cover it; remove it"
            );
            ensure!(kind.is_file(), "{text}: not a regular file");
        }
    }
    Ok("every file is listed".to_owned())
}
