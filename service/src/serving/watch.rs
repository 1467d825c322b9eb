//! Polls the bundle's directory and reloads when its files change. Polling works on every file system and
//! through the links of a Kubernetes volume.

use super::{CurrentModel, ReloadError, Reloader};
use cxr::bundle::{MANIFEST, sha256_hex};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Polls forever. A rejected candidate is tried again once one of its files has changed: it may have been
/// incomplete.
pub async fn watch(
    directory: PathBuf,
    every: Duration,
    current_model: Arc<CurrentModel>,
    reloader: Arc<Reloader>,
) {
    let mut rejected = None;
    loop {
        tokio::time::sleep(every).await;
        // While the directory is being replaced, it may have no manifest.
        let Ok(manifest) = tokio::fs::read(directory.join(MANIFEST)).await else { continue };
        let serving = current_model.get();
        let is_current = serving.model.bundle().digest() == sha256_hex(&manifest) && serving.engine.is_ok();
        let Ok(found) = listing(&directory).await else { continue };
        if is_current || rejected.as_ref() == Some(&found) {
            continue;
        }
        drop(serving);
        rejected = match reloader.reload().await {
            // Another reload may have read the directory before the change.
            Ok(_) | Err(ReloadError::Busy) => None,
            Err(_) => Some(found),
        };
    }
}

/// Names, lengths and modification times of the files.
async fn listing(directory: &Path) -> std::io::Result<Vec<(OsString, u64, SystemTime)>> {
    let mut entries = tokio::fs::read_dir(directory).await?;
    let mut files = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        // Follows links: files in a Kubernetes volume are links.
        let metadata = tokio::fs::metadata(entry.path()).await?;
        files.push((entry.file_name(), metadata.len(), metadata.modified()?));
    }
    files.sort();
    Ok(files)
}
