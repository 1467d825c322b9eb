//! Where a study is kept so that many processes can work on it: a folder or Postgres, with one promise.

use super::files::FileStore;
use super::postgres::PostgresStore;
use super::scheduler::Moment;
use super::study::{Definition, Study};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// A change of the study, decided under the store's lock. It may be asked twice when an answer was lost on the way.
pub type Edit<'a> = dyn FnMut(&mut Study, &Moment) -> Result<()> + 'a;

/// How a study was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// For the first time, or it was found.
    Plainly,
    /// Again, with another definition: nothing was trained with the old one.
    Anew,
}

/// Keeps one study. The promise: edits happen one after the other, each sees all before it, and each is kept entirely or
/// not at all. Claims are therefore exclusive whatever the workers do.
pub trait Store: Send {
    /// Finds the study, or begins it. One that has trained nothing begins anew with another definition.
    ///
    /// # Errors
    /// When trials were trained with another definition, or the store cannot be reached.
    fn begin(&mut self, definition: &Definition) -> Result<Begun>;

    /// Changes the study.
    ///
    /// # Errors
    /// The edit's own, with nothing changed; or when the store cannot be reached.
    fn edit(&mut self, edit: &mut Edit) -> Result<()>;

    /// The study as it is; none when it was never begun.
    ///
    /// # Errors
    /// When the store cannot be reached.
    fn load(&mut self) -> Result<Option<Study>>;

    /// Shows others that a worker's process lives, as long as this store is open or another that attends for the worker;
    /// it ends with the process, however that ends.
    ///
    /// # Errors
    /// When the store cannot be reached.
    fn attend(&mut self, worker: &str) -> Result<()>;
}

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder that all workers see.
    Folder(PathBuf),
    /// A Postgres URL, and the name of the study there.
    Postgres {
        /// `postgres://..`; may hold a password.
        url: String,
        /// The study's name.
        study: String,
    },
}

impl Place {
    /// The place that `--store` names; the study's own folder unless it does.
    pub fn of(store: Option<&str>, study: &Path) -> Self {
        match store {
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Self::Postgres {
                    url: url.to_owned(),
                    study: study
                        .file_name()
                        .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
                }
            }
            Some(folder) => Self::Folder(PathBuf::from(folder)),
            None => Self::Folder(study.join("store")),
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn open(&self) -> Result<Box<dyn Store>> {
        Ok(match self {
            Self::Folder(folder) => Box::new(FileStore::open(folder)?),
            Self::Postgres { url, study } => Box::new(PostgresStore::open(url, study)?),
        })
    }
}
