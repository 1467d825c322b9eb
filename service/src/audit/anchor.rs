//! The anchor: a folder of checkpoints that an attacker on the database cannot rewrite.
//!
//! It holds a file `<size>.checkpoint` for each anchored checkpoint, and the newest one as `checkpoint`, the
//! name in c2sp.org/tlog-tiles.

use super::signing::{LogVerifier, SignatureError};
use crate::files;
use crate::store::SignedCheckpoint;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tlog_tiles::Checkpoint;

/// File name of the newest checkpoint.
const NEWEST: &str = "checkpoint";

#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    #[error("{} cannot be used", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is not an existing folder", path.display())]
    Missing { path: PathBuf },
    #[error("{} is not a checkpoint of this log", path.display())]
    Foreign {
        path: PathBuf,
        #[source]
        source: SignatureError,
    },
}

#[derive(Debug, Clone)]
pub struct Anchor(PathBuf);

impl Anchor {
    /// The anchor in `folder`, which is created with the first checkpoint.
    pub const fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Fails unless the folder exists and a file can be written to it; leaves no file.
    pub fn check(&self) -> Result<(), AnchorError> {
        if !self.0.is_dir() {
            return Err(AnchorError::Missing { path: self.0.clone() });
        }
        let path = self.0.join(format!(".check-{}", std::process::id()));
        let tried = files::replace(&path, b"").and_then(|()| std::fs::remove_file(&path));
        tried.map_err(unusable(&self.0))
    }

    /// Creates the folder if it is missing, and checks it.
    pub fn prepare(&self) -> Result<(), AnchorError> {
        std::fs::create_dir_all(&self.0).map_err(unusable(&self.0))?;
        self.check()
    }

    /// The newest checkpoint; none before the first one is written.
    pub fn newest(&self, verifier: &LogVerifier) -> Result<Option<Checkpoint>, AnchorError> {
        read(&self.0.join(NEWEST), verifier)
    }

    pub fn all(&self, verifier: &LogVerifier) -> Result<Vec<Checkpoint>, AnchorError> {
        let mut checkpoints = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(unusable(&self.0))? {
            let path = entry.map_err(unusable(&self.0))?.path();
            let is_checkpoint = |part: Option<&std::ffi::OsStr>| part.is_some_and(|part| part == NEWEST);
            if is_checkpoint(path.extension()) || is_checkpoint(path.file_name()) {
                checkpoints.extend(read(&path, verifier)?);
            }
        }
        checkpoints.sort_by_key(Checkpoint::size);
        Ok(checkpoints)
    }

    /// Writes a checkpoint durably. A late, older one from a stalled leader does not replace the newest.
    pub fn publish(&self, checkpoint: &SignedCheckpoint) -> Result<(), AnchorError> {
        std::fs::create_dir_all(&self.0).map_err(unusable(&self.0))?;
        let newest = self.0.join(NEWEST);
        let is_newest = size_of(&newest).is_none_or(|size| size <= checkpoint.size);
        // The newest first: if the process is killed in between, only the numbered copy is missing.
        let names =
            [is_newest.then_some(newest), Some(self.0.join(format!("{:020}.{NEWEST}", checkpoint.size)))];
        for path in names.into_iter().flatten() {
            files::replace(&path, checkpoint.note.as_bytes()).map_err(unusable(&path))?;
        }
        std::fs::File::open(&self.0).and_then(|folder| folder.sync_all()).map_err(unusable(&self.0))
    }
}

fn unusable(path: &Path) -> impl FnOnce(std::io::Error) -> AnchorError {
    move |source| AnchorError::File { path: path.to_owned(), source }
}

fn read(path: &Path, verifier: &LogVerifier) -> Result<Option<Checkpoint>, AnchorError> {
    let note = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        note => note.map_err(unusable(path))?,
    };
    let checkpoint = verifier.checkpoint(&note);
    checkpoint.map(Some).map_err(|source| AnchorError::Foreign { path: path.to_owned(), source })
}

/// Tree size in a checkpoint file. The signature is not verified.
fn size_of(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.lines().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_leaves_nothing_behind_and_names_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor");
        let anchor = Anchor::at(path.clone());
        assert!(matches!(anchor.check(), Err(AnchorError::Missing { .. })));
        assert!(!path.exists());
        anchor.prepare().unwrap();
        anchor.check().unwrap();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(matches!(Anchor::at(folder.path().join("file")).check(), Err(AnchorError::Missing { .. })));
    }
}
