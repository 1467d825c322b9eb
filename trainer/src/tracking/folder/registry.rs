//! The model registry of the local store: `models/<name>/version-<n>`.

use super::super::event::{BUNDLE_TAG, GRAPH_TAG, ModelVersion, VERSION_TAG, now_ms};
use super::super::store::Failure;
use super::{META, write, write_meta};
use serde_json::json;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Registers a version unless the bundle has one, points the alias to it, and returns its number.
pub(super) fn version(
    root: &Path,
    run: &str,
    source: &str,
    version: &ModelVersion,
) -> Result<String, Failure> {
    let folder = root.join("models").join(&version.model);
    let failed = |error: std::io::Error| Failure::Later(format!("{}: {error}", folder.display()));
    create_model(root, &folder, &version.model).map_err(failed)?;
    let number = match find(&folder, version)? {
        Some(number) => number,
        None => create_version(root, &folder, run, source, version).map_err(failed)?,
    };
    let alias = folder.join("aliases").join(&version.alias);
    write(root, &alias, number.to_string().as_bytes()).map_err(failed)?;
    Ok(number.to_string())
}

fn create_model(root: &Path, folder: &Path, name: &str) -> std::io::Result<()> {
    if folder.join(META).exists() {
        return Ok(());
    }
    let now = now_ms();
    let meta = json!({
        "creation_timestamp": now,
        "description": null,
        "last_updated_timestamp": now,
        "name": name,
    });
    write_meta(root, folder, &meta)
}

/// The version that holds this bundle.
fn find(folder: &Path, version: &ModelVersion) -> Result<Option<u64>, Failure> {
    for number in numbers(folder) {
        let tag = |key: &str| {
            std::fs::read_to_string(version_folder(folder, number).join("tags").join(key)).unwrap_or_default()
        };
        if tag(BUNDLE_TAG) == version.bundle_sha256 {
            return Ok(Some(number));
        }
        if tag(VERSION_TAG) == version.version && tag(GRAPH_TAG) != version.graph_sha256 {
            return Err(version.taken(&folder.display().to_string(), &number.to_string()));
        }
    }
    Ok(None)
}

fn create_version(
    root: &Path,
    folder: &Path,
    run: &str,
    source: &str,
    version: &ModelVersion,
) -> std::io::Result<u64> {
    let (partial, now) = (folder.join(format!("partial-{}", std::process::id())), now_ms());
    for (key, value) in &version.tags {
        write(root, &partial.join("tags").join(key), value.as_bytes())?;
    }
    let mut number = numbers(folder).into_iter().max().unwrap_or_default();
    loop {
        number += 1;
        let meta = json!({
            "creation_timestamp": now,
            "current_stage": "None",
            "description": null,
            "last_updated_timestamp": now,
            "name": version.model,
            "run_id": run,
            "run_link": null,
            "source": source,
            "status": "READY",
            "status_message": null,
            "storage_location": source,
            "user_id": null,
            "version": number,
        });
        write_meta(root, &partial, &meta)?;
        match std::fs::rename(&partial, version_folder(folder, number)) {
            Ok(()) => return Ok(number),
            // Another process took the number.
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty) => {
            }
            Err(error) => return Err(error),
        }
    }
}

fn version_folder(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("version-{number}"))
}

fn numbers(folder: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut numbers: Vec<u64> = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("version-")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}
