//! Putting a finished bundle in the place of the old one.

use super::BundleFiles;
use crate::files;
use crate::run::origin::ensure_no_files;
use anyhow::{Context, Result};
use cxr::bundle::MANIFEST;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::path::Path;

/// Writes the files into a new folder and exchanges it with the old one in one step: a reader finds the old bundle or the
/// new one, never a mixture. Where the file system cannot exchange folders, a reader finds none for an instant. A folder that
/// holds files and no bundle is left alone.
pub(crate) fn replace_folder(folder: &Path, files: &BundleFiles) -> Result<()> {
    if !folder.join(MANIFEST).exists() {
        ensure_no_files(folder)?;
    }
    let (fresh, old) = (folder.with_added_extension("partial"), folder.with_added_extension("old"));
    for leftover in [&fresh, &old] {
        if leftover.exists() {
            std::fs::remove_dir_all(leftover)
                .with_context(|| format!("{}: cannot be removed", leftover.display()))?;
        }
    }
    for (name, bytes) in files {
        let path = fresh.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("{}: cannot be created", parent.display()))?;
        }
        files::write_atomically(&path, bytes)?;
    }
    let swap = || -> std::io::Result<()> {
        if !folder.exists() {
            return std::fs::rename(&fresh, folder);
        }
        match renameat_with(CWD, &fresh, CWD, folder, RenameFlags::EXCHANGE) {
            // What stood there has the new folder's name now.
            Ok(()) => std::fs::remove_dir_all(&fresh),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                std::fs::rename(folder, &old)?;
                std::fs::rename(&fresh, folder)?;
                std::fs::remove_dir_all(&old)
            }
            Err(error) => Err(error.into()),
        }
    };
    swap().with_context(|| format!("{}: cannot be replaced", folder.display()))
}
