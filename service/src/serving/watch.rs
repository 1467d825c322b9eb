//! The watched directory: a bundle that is put in place of the old one is taken over without being asked for.
//!
//! It is looked at and not listened to: that works on every file system, and through the links of a Kubernetes volume.

use super::{ReloadError, Reloader, Slot};
use cxr::bundle::{MANIFEST, sha256_hex};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Looks at the directory for as long as the process lives. A candidate that was refused is tried again only when one of its
/// files has changed: it may have been looked at before all of them had arrived.
pub async fn watch(directory: PathBuf, every: Duration, slot: Arc<Slot>, reloader: Arc<Reloader>) {
    let mut refused = None;
    loop {
        tokio::time::sleep(every).await;
        // A directory that is being replaced has no manifest for a moment.
        let Ok(manifest) = tokio::fs::read(directory.join(MANIFEST)).await else { continue };
        let serving = slot.current();
        let serves = serving.model.bundle().digest() == sha256_hex(&manifest) && serving.engine.is_ok();
        let Ok(found) = listing(&directory).await else { continue };
        if serves || refused.as_ref() == Some(&found) {
            continue;
        }
        drop(serving);
        refused = match reloader.reload().await {
            // Somebody else's reload says nothing of what lies there now.
            Ok(_) | Err(ReloadError::Busy) => None,
            Err(_) => Some(found),
        };
    }
}

/// Names, lengths and times of a folder's files.
async fn listing(directory: &Path) -> std::io::Result<Vec<(OsString, u64, SystemTime)>> {
    let mut entries = tokio::fs::read_dir(directory).await?;
    let mut files = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        // Through links: a volume of Kubernetes has nothing else.
        let facts = tokio::fs::metadata(entry.path()).await?;
        files.push((entry.file_name(), facts.len(), facts.modified()?));
    }
    files.sort();
    Ok(files)
}
