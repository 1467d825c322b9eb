//! `cxr-trainer verify`.

use anyhow::{Context, Result, ensure};
use clap::Args;
use cxr::bundle::MANIFEST;
use cxr_trainer::bundle::verify::{public_key, verify};
use cxr_trainer::run::BUNDLE;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder of the bundle.
    bundle: PathBuf,
    /// Trusted Ed25519 public key (PEM). Without it, the signature is not checked.
    #[arg(long)]
    public_key: Option<PathBuf>,
    /// Path of ONNX Runtime's shared library. Without it, the graph is read but not run.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure_bundle(&arguments.bundle)?;
    let key = arguments.public_key.as_deref().map(public_key).transpose()?;
    let table = verify(&arguments.bundle, key.as_ref(), arguments.onnxruntime.as_deref());
    table.report();
    table.result().with_context(|| format!("{}: do not use this bundle", arguments.bundle.display()))
}

/// Refuses a folder that is not there, and a run directory where its bundle is meant.
fn ensure_bundle(folder: &Path) -> Result<()> {
    ensure!(folder.is_dir(), "{}: no such folder", folder.display());
    let inside = folder.join(BUNDLE);
    ensure!(
        folder.join(MANIFEST).exists() || !inside.join(MANIFEST).is_file(),
        "{}: not a bundle; did you mean {}?",
        folder.display(),
        inside.display()
    );
    Ok(())
}
