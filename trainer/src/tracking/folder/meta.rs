//! File access of the local store: `meta.yaml`, and atomic writes.

use serde_json::Value;
use std::path::Path;

/// MLflow's file with the attributes of an experiment, run or model.
pub(super) const META: &str = "meta.yaml";

/// Replaces a file atomically. It need not survive a power cut, because the spool holds everything.
pub(super) fn write(root: &Path, file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    make_parent(file)?;
    // Not in the same folder: MLflow reads every file there as a value.
    let temporary = root.join(format!(".partial-{}", std::process::id()));
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(temporary, file)
}

pub(super) fn make_parent(file: &Path) -> std::io::Result<()> {
    file.parent().map_or(Ok(()), std::fs::create_dir_all)
}

pub(super) fn read_meta(folder: &Path) -> Option<Value> {
    serde_yaml_ng::from_slice(&std::fs::read(folder.join(META)).ok()?).ok()
}

pub(super) fn write_meta(root: &Path, folder: &Path, meta: &Value) -> std::io::Result<()> {
    let text = serde_yaml_ng::to_string(meta).map_err(std::io::Error::other)?;
    write(root, &folder.join(META), text.as_bytes())
}
