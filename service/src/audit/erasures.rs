//! The list of erased subjects, outside the database: subjects that a backup brings back are erased again.

use crate::store::Erasure;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[derive(Debug, thiserror::Error)]
pub enum ErasuresError {
    #[error("{} cannot be used", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{} is missing: mount its volume, or create an empty file if no subject has been erased yet", path.display()
    )]
    Missing { path: PathBuf },
    #[error("{}, line {line}: not an HMAC in hexadecimal and a time", path.display())]
    Line { path: PathBuf, line: usize },
}

/// A file with one line per erasure.
#[derive(Debug, Clone)]
pub struct Erasures(PathBuf);

impl Erasures {
    /// The list at `path`. The file must exist, even if it is empty: a missing one is probably on a volume
    /// that is not mounted, and its erasures would not be applied.
    pub const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Every erasure. One bad line fails all: a skipped line could be a subject that stays linked.
    pub fn all(&self) -> Result<Vec<Erasure>, ErasuresError> {
        let path = &self.0;
        let text = std::fs::read_to_string(path).map_err(|source| self.failed(source))?;
        let erasure = |(n, line): (usize, &str)| {
            parse(line).ok_or_else(|| ErasuresError::Line { path: path.clone(), line: n + 1 })
        };
        text.lines().enumerate().filter(|(_, line)| !line.is_empty()).map(erasure).collect()
    }

    fn failed(&self, source: std::io::Error) -> ErasuresError {
        let path = self.0.clone();
        if source.kind() == ErrorKind::NotFound {
            ErasuresError::Missing { path }
        } else {
            ErasuresError::File { path, source }
        }
    }

    /// Adds an erasure durably. Call it before the key is deleted from the database.
    pub fn add(&self, (lookup, erased_at): &Erasure) -> Result<(), ErasuresError> {
        let add = || {
            let mut file = std::fs::File::options().append(true).open(&self.0)?;
            let moment = erased_at.format(&Rfc3339).map_err(std::io::Error::other)?;
            writeln!(file, "{} {moment}", hex::encode(lookup))?;
            file.sync_all()
        };
        add().map_err(|source| self.failed(source))
    }
}

fn parse(line: &str) -> Option<Erasure> {
    let (lookup, moment) = line.split_once(' ')?;
    let lookup = hex::decode(lookup).ok()?.try_into().ok()?;
    Some((lookup, OffsetDateTime::parse(moment, &Rfc3339).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_read_and_a_damaged_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let list = Erasures::at(folder.path().join("erased"));
        assert!(list.all().unwrap_err().to_string().contains("is missing"));
        let added = list.add(&([7; 32], OffsetDateTime::UNIX_EPOCH));
        assert!(added.unwrap_err().to_string().contains("is missing"));
        std::fs::write(folder.path().join("erased"), "").unwrap();
        assert!(list.all().unwrap().is_empty());
        let erasures = [([7; 32], OffsetDateTime::UNIX_EPOCH), ([9; 32], OffsetDateTime::now_utc())];
        for erasure in &erasures {
            list.add(erasure).unwrap();
        }
        assert_eq!(list.all().unwrap(), erasures);
        std::fs::write(folder.path().join("erased"), "07 yesterday\n").unwrap();
        assert!(list.all().unwrap_err().to_string().contains("line 1"));
    }
}
