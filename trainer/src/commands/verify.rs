//! `cxr-trainer verify`.

use super::options::VerifyOptions;
use anyhow::{Context, Result, ensure};
use cxr::bundle::MANIFEST;
use cxr_trainer::bundle::verify::verify;
use cxr_trainer::run::BUNDLE;

pub(crate) fn run(options: &VerifyOptions) -> Result<()> {
    let folder = &options.bundle;
    ensure!(folder.is_dir(), "{}: no such folder", folder.display());
    let inside = folder.join(BUNDLE);
    ensure!(
        folder.join(MANIFEST).exists() || !inside.join(MANIFEST).is_file(),
        "{}: not a bundle; did you mean {}?",
        folder.display(),
        inside.display()
    );
    let table = verify(folder, options.public_key()?.as_ref(), options.onnxruntime.as_deref());
    table.print();
    table.result().with_context(|| format!("{}: do not use this bundle", folder.display()))
}
