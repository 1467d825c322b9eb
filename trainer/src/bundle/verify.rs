//! Verification of a released bundle: is every byte what its maker signed, and does its graph still say what it said? Wants
//! the bundle, and no run and no data.

mod graph;
mod outputs;
pub(crate) use outputs::golden_pixels;

use crate::progress::say;
use anyhow::{Context, Result, anyhow, bail, ensure};
use cxr::bundle::{Bundle, BundleError, MANIFEST, Manifest, SIGNATURE, key_id};
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::DecodePublicKey;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The table of checks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// In the order in which they were made; the first that fails is the last.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it went.
    pub outcome: Outcome,
    /// What was found.
    pub detail: String,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// Could not be made, for want of a key or of ONNX Runtime.
    Skipped,
    /// Not as it should be.
    Failed,
}

impl Verification {
    /// The check that failed.
    ///
    /// # Errors
    /// Names it with its reason.
    pub fn result(&self) -> Result<()> {
        match self.checks.iter().find(|check| check.outcome == Outcome::Failed) {
            // Most details begin with the name of the file that was checked, which is often the name of the check.
            Some(check) if check.detail.starts_with(&format!("{}: ", check.name)) => {
                bail!("{}", check.detail)
            }
            Some(check) => bail!("{}: {}", check.name, check.detail),
            None => Ok(()),
        }
    }

    /// Prints the table.
    pub fn report(&self) {
        for check in &self.checks {
            let outcome = match check.outcome {
                Outcome::Passed => "ok",
                Outcome::Skipped => "skipped",
                Outcome::Failed => "FAILED",
            };
            say(format!("{outcome:<8} {:<14} {}", check.name, check.detail));
        }
    }

    fn passed(&mut self, name: &str, detail: impl Into<String>) {
        self.add(name, Outcome::Passed, detail.into());
    }

    fn skipped(&mut self, name: &str, why: &str) {
        self.add(name, Outcome::Skipped, why.to_owned());
    }

    fn add(&mut self, name: &str, outcome: Outcome, detail: String) {
        self.checks.push(Check { name: name.to_owned(), outcome, detail });
    }

    /// Makes a check; none when it fails, after which no other is made.
    fn check(&mut self, name: &str, found: Result<String>) -> Option<()> {
        match found {
            Ok(detail) => {
                self.passed(name, detail);
                Some(())
            }
            Err(error) => {
                self.add(name, Outcome::Failed, format!("{error:#}"));
                None
            }
        }
    }
}

/// A public key in SPKI PEM.
///
/// # Errors
/// Names the file.
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
