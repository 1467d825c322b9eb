//! Signed heads outside the database: whoever rewrites the log there does not reach them here.
//!
//! A folder with a file `<size>.checkpoint` for each anchored head, and `checkpoint`, the newest of them, under the name
//! that c2sp.org/tlog-tiles gives it.

use super::signing::{LogVerifier, SignatureError};
use crate::files;
use crate::store::SignedHead;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tlog_tiles::Checkpoint;

/// Name of the newest head's file.
const NEWEST: &str = "checkpoint";

/// Why a folder of heads cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// A file cannot be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// It is not where it should be.
    #[error("{} is not an existing folder", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// A file holds no head of this log.
    #[error("{} is not a checkpoint of this log", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: SignatureError,
    },
}

/// The folder.
#[derive(Debug, Clone)]
pub struct Anchor(PathBuf);

impl Anchor {
    /// At this path; it is created when the first head is written.
    pub const fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Whether the folder is there and takes heads; leaves nothing behind.
    ///
    /// # Errors
    /// When no head could be written.
    pub fn check(&self) -> Result<(), AnchorError> {
        if !self.0.is_dir() {
            return Err(AnchorError::Missing { path: self.0.clone() });
        }
        let path = self.0.join(format!(".check-{}", std::process::id()));
        let tried = files::replace(&path, b"").and_then(|()| std::fs::remove_file(&path));
        tried.map_err(|source| AnchorError::File { path: self.0.clone(), source })
    }

    /// Makes the folder where there is none, and checks it.
    ///
    /// # Errors
    /// When no head could be written.
    pub fn prepare(&self) -> Result<(), AnchorError> {
        let failed = |source| AnchorError::File { path: self.0.clone(), source };
        std::fs::create_dir_all(&self.0).map_err(failed)?;
        self.check()
    }

    /// The newest head; none where none was written.
    ///
    /// # Errors
    /// When the file cannot be read or is not signed by the log.
    pub fn newest(&self, verifier: &LogVerifier) -> Result<Option<Checkpoint>, AnchorError> {
        read(&self.0.join(NEWEST), verifier)
    }

    /// Every head, by size.
    ///
    /// # Errors
    /// When a file cannot be read or is not signed by the log.
    pub fn all(&self, verifier: &LogVerifier) -> Result<Vec<Checkpoint>, AnchorError> {
        let failed = |source| AnchorError::File { path: self.0.clone(), source };
        let mut heads = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let named_so = |part: Option<&std::ffi::OsStr>| part.is_some_and(|part| part == NEWEST);
            if named_so(path.extension()) || named_so(path.file_name()) {
                heads.extend(read(&path, verifier)?);
            }
        }
        heads.sort_by_key(Checkpoint::size);
        Ok(heads)
    }

    /// Writes a head down, durably. The newest stays the newest: a leader that stalled comes late with an older one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn publish(&self, head: &SignedHead) -> Result<(), AnchorError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| AnchorError::File { path, source }
        };
        std::fs::create_dir_all(&self.0).map_err(failed(&self.0))?;
        let newest = self.0.join(NEWEST);
        let is_newest = size_of(&newest).is_none_or(|size| size <= head.size);
        // The newest first: who is killed between the two has lost one that the next one follows.
        let names = [is_newest.then_some(newest), Some(self.0.join(format!("{:020}.{NEWEST}", head.size)))];
        for path in names.into_iter().flatten() {
            files::replace(&path, head.note.as_bytes()).map_err(failed(&path))?;
        }
        std::fs::File::open(&self.0).and_then(|folder| folder.sync_all()).map_err(failed(&self.0))
    }
}

fn read(path: &Path, verifier: &LogVerifier) -> Result<Option<Checkpoint>, AnchorError> {
    let note = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        note => note.map_err(|source| AnchorError::File { path: path.to_owned(), source })?,
    };
    let checkpoint = verifier.checkpoint(&note);
    checkpoint.map(Some).map_err(|source| AnchorError::Foreign { path: path.to_owned(), source })
}

/// Leaves of the tree of a head, as its file says; whether it is signed is for its readers to ask.
fn size_of(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.lines().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_leaves_nothing_behind_and_names_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("anchor");
        let anchor = Anchor::at(place.clone());
        assert!(matches!(anchor.check(), Err(AnchorError::Missing { .. })));
        assert!(!place.exists());
        anchor.prepare().unwrap();
        anchor.check().unwrap();
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(matches!(Anchor::at(folder.path().join("file")).check(), Err(AnchorError::Missing { .. })));
    }
}
