//! The model registry of the local store: `models/<name>/version-<n>`.

use super::super::event::{ModelVersion, Texts, now_ms};
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
    let known = version.among(&folder.display().to_string(), &versions(root, &version.model))?;
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

/// Every version of a registered model with its tags.
pub(super) fn versions(root: &Path, model: &str) -> Vec<(String, Texts)> {
    let folder = root.join("models").join(model);
    numbers(&folder).into_iter().map(|number| (number.to_string(), tags(&folder, number))).collect()
}

/// MLflow keeps a file a tag.
fn tags(folder: &Path, number: u64) -> Texts {
    let entries = std::fs::read_dir(version_folder(folder, number).join("tags")).into_iter().flatten();
    let tag =
        |path: PathBuf| Some((path.file_name()?.to_str()?.to_owned(), std::fs::read_to_string(&path).ok()?));
    entries.flatten().filter_map(|entry| tag(entry.path())).collect()
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
