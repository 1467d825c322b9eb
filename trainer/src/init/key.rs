//! Generates a key pair to sign bundles.

use crate::files;
use anyhow::{Context, Result, anyhow};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey, KeypairBytes};
use regex::Regex;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes the private key to `file`, readable by its owner only and ignored by git, and the public key beside
/// it. Returns the paths of the public key and of the `.gitignore`.
pub(super) fn make(file: &Path) -> Result<(PathBuf, PathBuf)> {
    if let Some(folder) = file.parent() {
        files::create_folder(folder)?;
    }
    // First, so that git never sees the key.
    let gitignore = ignore(file)?;
    let mut secret = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut secret))
        .context("/dev/urandom")?;
    let key = SigningKey::from_bytes(&secret);
    // Without the public key: older OpenSSL does not read PKCS#8 version 2.
    let private = KeypairBytes { secret_key: secret, public_key: None }
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| anyhow!("the private key cannot be encoded: {error}"))?;
    let public = key
        .verifying_key()
        .to_public_key_pem(LineEnding::LF)
        .map_err(|error| anyhow!("the public key cannot be encoded: {error}"))?;
    let public_file = file.with_extension("pub.pem");
    for (path, text, mode) in
        [(file, private.as_str(), 0o600), (public_file.as_path(), public.as_str(), 0o644)]
    {
        let create = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        create
            .and_then(|mut created| {
                created.write_all(text.as_bytes())?;
                created.sync_all()
            })
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok((public_file, gitignore))
}

/// Adds a file's name to the `.gitignore` of its folder, and returns the path of the latter.
fn ignore(file: &Path) -> Result<PathBuf> {
    let gitignore = file.with_file_name(".gitignore");
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // Escape what git reads as a pattern.
    let line = Regex::new(r"[\\*?\[!#]")?.replace_all(&name, r"\$0");
    let mut text = match std::fs::read_to_string(&gitignore) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", gitignore.display())),
    };
    if text.lines().any(|known| known == line) {
        return Ok(gitignore);
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&line);
    text.push('\n');
    std::fs::write(&gitignore, text)
        .with_context(|| format!("{}: cannot be written", gitignore.display()))?;
    Ok(gitignore)
}
