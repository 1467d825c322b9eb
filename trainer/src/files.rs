//! Atomic file writes, JSON and CSV files, and folders that git ignores.

use anyhow::{Context, Result};
use serde::Serialize;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

const GITIGNORE: &str = ".gitignore";
const KEPT_OUT: &[u8] =
    b"# Images, file names and figures of patients: nothing here belongs in a repository.\n*\n";

/// Writes a file so that after a crash or a power cut it has the old content or the new.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        // The process id keeps processes that write the same file from sharing a temporary file.
        let temporary = path.with_added_extension(format!("{}.partial", std::process::id()));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        // The rename is durable once the folder is synced.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("{}: cannot be written", path.display()))
}

pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    write_atomically(path, &bytes)
}

pub fn csv<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(header)?;
    rows.into_iter().try_for_each(|row| table.write_record(row))?;
    Ok(table.into_inner().map_err(csv::IntoInnerError::into_error)?)
}

pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))
}

/// None if there is no file.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    serde_json::from_slice(&read(path)?).map(Some).with_context(|| {
        format!("{}: was written by another version; remove it and run the command again", path.display())
    })
}

/// None if there is no such file.
pub fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{}: cannot be read", path.display())),
    }
}

pub fn create_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be created", folder.display()))
}

/// Creates a folder that git ignores, for images, names and results of patients.
pub fn create_own_folder(folder: &Path) -> Result<()> {
    create_folder(folder)?;
    keep_out_of_git(folder)
}

/// Makes git ignore a folder, unless it has a `.gitignore`.
pub fn keep_out_of_git(folder: &Path) -> Result<()> {
    let file = folder.join(GITIGNORE);
    if file.exists() { Ok(()) } else { write_atomically(&file, KEPT_OUT) }
}

/// Whether the folder has the file of [`keep_out_of_git`], so that it is the trainer's own.
pub fn is_kept_out_of_git(folder: &Path) -> bool {
    std::fs::read(folder.join(GITIGNORE)).is_ok_and(|text| text == KEPT_OUT)
}
