//! The model registry of the local store: `models/<name>/version-<n>`.

use super::meta::{META, read_meta, write, write_meta};
use crate::tracking::event::{ModelVersion, now_ms};
use crate::tracking::store::{DeliveryError, RegisteredVersion, StoreResult};
use serde_json::json;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Registers a version unless the bundle has one, points the alias to it, and returns its number.
pub(super) fn version(root: &Path, run: &str, source: &str, version: &ModelVersion) -> StoreResult<String> {
    let folder = root.join("models").join(&version.model);
    let failed = |error: std::io::Error| DeliveryError::Retryable(format!("{}: {error}", folder.display()));
    create_model(root, &folder, &version.model).map_err(failed)?;
    let known = version.existing_number(&folder.display().to_string(), &versions(root, &version.model))?;
    let number = match known {
        Some(number) => number,
        None => create_version(root, &folder, run, source, version).map_err(failed)?.to_string(),
    };
    let alias = folder.join("aliases").join(&version.alias);
    write(root, &alias, number.as_bytes()).map_err(failed)?;
    Ok(number)
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

pub(super) fn versions(root: &Path, model: &str) -> Vec<RegisteredVersion> {
    let folder = root.join("models").join(model);
    let version = |number: u64| {
        let folder = version_folder(&folder, number);
        let files = std::fs::read_dir(folder.join("tags")).into_iter().flatten().flatten();
        let tag = |file: std::fs::DirEntry| {
            Some((file.file_name().into_string().ok()?, std::fs::read_to_string(file.path()).ok()?))
        };
        let meta = read_meta(&folder).unwrap_or_default();
        RegisteredVersion {
            number: number.to_string(),
            run: meta["run_id"].as_str().unwrap_or_default().to_owned(),
            tags: files.filter_map(tag).collect(),
        }
    };
    numbers(&folder).into_iter().map(version).collect()
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
