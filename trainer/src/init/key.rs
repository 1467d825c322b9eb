//! A fresh key pair for signing bundles.

use crate::files;
use anyhow::{Context, Result};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey, KeypairBytes};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Makes a key pair: the private key in `file`, which its owner alone can read and git does not take, the public one beside it. Returns
/// the path of the latter and that of the file that says so to git.
pub(super) fn make(file: &Path) -> Result<(PathBuf, PathBuf)> {
    if let Some(folder) = file.parent() {
        files::create_folder(folder)?;
    }
    // Before there is a key that git could take.
    let ignoring = ignore(file)?;
    let mut secret = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut secret))
        .context("/dev/urandom")?;
    let key = SigningKey::from_bytes(&secret);
    // Without the public half: older OpenSSL does not read the longer form.
    let private = KeypairBytes { secret_key: secret, public_key: None }
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| anyhow::anyhow!("the key cannot be written as PEM: {error}"))?;
    let public = key
        .verifying_key()
        .to_public_key_pem(LineEnding::LF)
        .map_err(|error| anyhow::anyhow!("the key cannot be written as PEM: {error}"))?;
    let beside = file.with_extension("pub.pem");
    for (path, text, mode) in [(file, private.as_str(), 0o600), (beside.as_path(), public.as_str(), 0o644)] {
        let create = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        create
            .and_then(|mut created| {
                created.write_all(text.as_bytes())?;
                created.sync_all()
            })
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok((beside, ignoring))
}

/// Adds a file's name to the `.gitignore` of its folder, unless it is there. Returns that file's path.
fn ignore(file: &Path) -> Result<PathBuf> {
    let ignoring = file.with_file_name(".gitignore");
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut line = String::new();
    for character in name.chars() {
        // What git reads as a pattern stands for itself.
        if matches!(character, '\\' | '*' | '?' | '[' | '!' | '#') {
            line.push('\\');
        }
        line.push(character);
    }
    let mut text = match std::fs::read_to_string(&ignoring) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", ignoring.display())),
    };
    if text.lines().any(|known| known == line) {
        return Ok(ignoring);
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&line);
    text.push('\n');
    std::fs::write(&ignoring, text).with_context(|| format!("{}: cannot be written", ignoring.display()))?;
    Ok(ignoring)
}
