//! Delivery of a bundle: written beside its folder, verified there, and swapped with the old bundle if
//! `verify` accepts it.

use super::contents::BundleFiles;
use crate::bundle;
use crate::bundle::verify::{Verification, verify};
use crate::files;
use crate::progress::say;
use anyhow::{Context, Result, ensure};
use cxr::bundle::{Bundle, MANIFEST};
use ed25519_dalek::pkcs8::DecodePublicKey;
use ed25519_dalek::{SigningKey, VerifyingKey};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::path::Path;

/// The key that everybody has; production refuses what it signed.
const DEVELOPMENT_KEY: &str = include_str!("../../../config/development-signing-key.pub.pem");

/// A bundle in its folder.
#[derive(Debug)]
pub struct Delivered {
    /// As it was read there.
    pub bundle: Bundle,
    /// The checks that it passed.
    pub verification: Verification,
}

/// Judges a sealed bundle and puts it into its folder. A reader finds the old bundle or the new one, never a mixture; where the file
/// system cannot exchange folders, a reader finds none for an instant.
///
/// # Errors
/// When `verify` refuses the bundle, or the folder holds something else than a bundle: nothing has changed then.
pub(crate) fn deliver(
    folder: &Path,
    files: &BundleFiles,
    key: &SigningKey,
    onnxruntime: &Path,
) -> Result<Delivered> {
    ensure_replaceable(folder)?;
    let key = key.verifying_key();
    let (fresh, old) = (folder.with_added_extension("partial"), folder.with_added_extension("old"));
    for leftover in [&fresh, &old] {
        remove(leftover)?;
    }
    write(&fresh, files)?;
    let verification = verify(&fresh, Some(&key), Some(onnxruntime));
    if let Err(refused) = verification.result() {
        remove(&fresh)?;
        return Err(refused
            .context(format!("{}: not written, because `verify` refuses the bundle", folder.display())));
    }
    swap(&fresh, folder, &old).with_context(|| format!("{}: cannot be replaced", folder.display()))?;
    let bundle = bundle::open(folder, Some(&key))?;
    report(folder, files, &bundle, &key);
    Ok(Delivered { bundle, verification })
}

fn report(folder: &Path, files: &BundleFiles, bundle: &Bundle, key: &VerifyingKey) {
    let (manifest, n_bytes) = (bundle.manifest(), files.values().map(Vec::len).sum::<usize>());
    say(format!("{} {} -> {}, {n_bytes} bytes", manifest.name, manifest.version, folder.display()));
    say(format!("bundle digest {}, signed by {}", bundle.digest(), bundle.signed_by().unwrap_or_default()));
    if VerifyingKey::from_public_key_pem(DEVELOPMENT_KEY).is_ok_and(|development| development == *key) {
        say(
            "signed with the development key, which everybody has: the production profile refuses it; give --signing-key, or sign the bundle with `cxr-service bundle sign`",
        );
    }
}

/// A folder of somebody's files is not taken for an old bundle.
fn ensure_replaceable(folder: &Path) -> Result<()> {
    let mut entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("{}: cannot be listed", folder.display())),
    };
    ensure!(
        entries.next().is_none() || folder.join(MANIFEST).is_file(),
        "{}: holds files and no {MANIFEST}; name a new folder, or one with a bundle, which is replaced",
        folder.display()
    );
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{}: cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

fn write(folder: &Path, files: &BundleFiles) -> Result<()> {
    for (name, bytes) in files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            files::create_folder(parent)?;
        }
        files::write_atomically(&path, bytes)?;
    }
    Ok(())
}

fn swap(fresh: &Path, folder: &Path, old: &Path) -> std::io::Result<()> {
    if !folder.exists() {
        return std::fs::rename(fresh, folder);
    }
    match renameat_with(CWD, fresh, CWD, folder, RenameFlags::EXCHANGE) {
        // What stood there has the new folder's name now.
        Ok(()) => std::fs::remove_dir_all(fresh),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            std::fs::rename(folder, old)?;
            std::fs::rename(fresh, folder)?;
            std::fs::remove_dir_all(old)
        }
        Err(error) => Err(error.into()),
    }
}
