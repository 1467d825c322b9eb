//! `cxr-service bundle new-key` and `bundle sign`.

use super::open;
use crate::files;
use crate::model::is_development_key;
use crate::stdout;
use anyhow::{Context, anyhow, bail};
use cxr::bundle::{SIGNATURE, Trust, key_id, sign as signature_of};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use rand_core::RngCore;
use std::path::Path;

pub(super) fn new_key(out: &Path) -> anyhow::Result<()> {
    let mut seed = [0; 32];
    rand_core::OsRng.fill_bytes(&mut seed);
    // Without the public half, which `openssl` refuses to read.
    let private = KeypairBytes { secret_key: seed, public_key: None };
    let private = private.to_pkcs8_pem(LineEnding::LF).map_err(|error| anyhow!("making a key: {error}"))?;
    let public = SigningKey::from_bytes(&seed).verifying_key().to_public_key_pem(LineEnding::LF);
    let public = public.map_err(|error| anyhow!("making a key: {error}"))?;
    let failed = || format!("{}: exists already or cannot be written", out.display());
    files::create_private(out, &private).with_context(failed)?;
    stdout::print(public.trim_end());
    Ok(())
}

pub(super) fn sign(key: &Path, directory: &Path) -> anyhow::Result<()> {
    let key = private_key(key)?;
    let (bundle, manifest) = open(directory, &Trust::Unsigned)?;
    let signature = serde_json::to_string_pretty(&signature_of(&manifest, &key))?;
    let path = directory.join(SIGNATURE);
    files::replace(&path, format!("{signature}\n").as_bytes())
        .with_context(|| format!("{}: cannot be written", path.display()))?;
    let public = key.verifying_key();
    stdout::print(format_args!(
        "{} {} (digest {}) is now signed by key {}",
        bundle.manifest().name,
        bundle.manifest().version,
        bundle.digest(),
        key_id(&public)
    ));
    if is_development_key(&public) {
        stdout::print_stderr("this is the public development key: the production profile refuses the bundle");
    }
    Ok(())
}

fn private_key(path: &Path) -> anyhow::Result<SigningKey> {
    let pem = std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let shown = path.display();
    if pem.contains("BEGIN PUBLIC KEY") {
        bail!("{shown}: is a public key; use the private key that belongs to it");
    }
    if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        bail!("{shown}: is encrypted; decrypt it first, with openssl pkey -in {shown} -out PLAIN.key");
    }
    // The parser's message is left out, because it could quote the key.
    SigningKey::from_pkcs8_pem(&pem).map_err(|_| {
        anyhow!("{shown}: not an Ed25519 private key in PEM (PKCS#8); cxr-service bundle new-key makes one")
    })
}
