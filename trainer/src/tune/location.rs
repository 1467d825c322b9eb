//! The store that `--store` names.

use super::files::FileStore;
use super::postgres::PostgresStore;
use super::store::Store;
use anyhow::Result;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreLocation {
    Folder(PathBuf),
    Postgres {
        /// May hold a password.
        url: String,
        study: String,
    },
}

impl StoreLocation {
    /// Without `--store`, the store lies in the study's folder.
    pub fn parse(store: Option<&str>, study: &Path) -> Self {
        match store {
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                let study = study.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Self::Postgres { url: url.to_owned(), study }
            }
            Some(folder) => Self::Folder(PathBuf::from(folder)),
            None => Self::Folder(study.join("store")),
        }
    }

    pub fn open(&self) -> Result<Box<dyn Store>> {
        Ok(match self {
            Self::Folder(folder) => Box::new(FileStore::open(folder)?),
            Self::Postgres { url, study } => Box::new(PostgresStore::open(url, study)?),
        })
    }
}
