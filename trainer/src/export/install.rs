//! Installs a bundle: writes it beside its folder, verifies it there, and swaps it with the old bundle.

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

/// Its private key is public, so the production profile refuses bundles that it signed.
const DEVELOPMENT_KEY: &str = include_str!("../../../config/development-signing-key.pub.pem");

#[derive(Debug)]
pub struct Installed {
    pub bundle: Bundle,
    pub verification: Verification,
}

/// Verifies a sealed bundle and puts it into its folder; changes nothing if `verify` refuses it or the folder
/// holds other files. A reader finds the old bundle or the new one, never a mixture; on file systems that
/// cannot exchange folders there is a moment without either.
pub(crate) fn install(
    folder: &Path,
    files: &BundleFiles,
    key: &SigningKey,
    onnxruntime: &Path,
) -> Result<Installed> {
    ensure_replaceable(folder)?;
    let key = key.verifying_key();
    let (fresh, old) = (folder.with_added_extension("partial"), folder.with_added_extension("old"));
    // Left by an earlier process that crashed.
    remove(&fresh)?;
    remove(&old)?;
    write(&fresh, files)?;
    let verification = verify(&fresh, Some(&key), Some(onnxruntime));
    if let Err(refused) = verification.result() {
        remove(&fresh)?;
        return Err(refused
            .context(format!("{}: not written, because `verify` refuses the bundle", folder.display())));
    }
    swap(&fresh, folder, &old).with_context(|| format!("{}: cannot be replaced", folder.display()))?;
    let bundle = bundle::open(folder, Some(&key))?;
    print(folder, files, &bundle, &key);
    Ok(Installed { bundle, verification })
}

fn print(folder: &Path, files: &BundleFiles, bundle: &Bundle, key: &VerifyingKey) {
    let (manifest, n_bytes) = (bundle.manifest(), files.values().map(Vec::len).sum::<usize>());
    say(format!("{} {} -> {}, {n_bytes} bytes", manifest.name, manifest.version, folder.display()));
    say(format!("bundle digest {}, signed by {}", bundle.digest(), bundle.signed_by().unwrap_or_default()));
    if VerifyingKey::from_public_key_pem(DEVELOPMENT_KEY).is_ok_and(|development| development == *key) {
        say(
            "signed with the development key, which is public: the production profile refuses it; pass --signing-key, or sign the bundle with `cxr-service bundle sign`",
        );
    }
}

/// A bundle replaces its whole folder: refuses one with files other than a bundle.
pub(crate) fn ensure_replaceable(folder: &Path) -> Result<()> {
    let mut entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("{}: cannot be listed", folder.display())),
    };
    ensure!(
        entries.next().is_none() || folder.join(MANIFEST).is_file(),
        "{}: holds files and no {MANIFEST}; name a new folder, or that of a bundle to replace",
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
        // The old bundle is in `fresh` now.
        Ok(()) => std::fs::remove_dir_all(fresh),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            std::fs::rename(folder, old)?;
            std::fs::rename(fresh, folder)?;
            std::fs::remove_dir_all(old)
        }
        Err(error) => Err(error.into()),
    }
}
