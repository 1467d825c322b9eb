//! The watched directory: a bundle that is put in place of the old one is taken over without being asked for.
//!
//! It is looked at and not listened to: that works on every file system, and through the links of a Kubernetes volume.

use super::{Reloader, Slot};
use cxr::bundle::{MANIFEST, sha256_hex};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Looks at the directory's manifest for as long as the process lives. A candidate that was refused is tried again only
/// when its manifest has changed.
pub async fn watch(directory: PathBuf, every: Duration, slot: Arc<Slot>, reloader: Arc<Reloader>) {
    let mut refused: Option<String> = None;
    loop {
        tokio::time::sleep(every).await;
        // A directory that is being replaced has no manifest for a moment.
        let Ok(manifest) = tokio::fs::read(directory.join(MANIFEST)).await else { continue };
        let found = sha256_hex(&manifest);
        let serving = slot.current();
        let serves = serving.model.bundle().digest() == found && serving.engine.is_ok();
        if serves || refused.as_ref() == Some(&found) {
            continue;
        }
        drop(serving);
        refused = reloader.reload().await.is_err().then_some(found);
    }
}
