//! The file store: the study as one JSON file behind a lock, and one locked file for each living worker. The system
//! releases a lock when its process ends, however it ends. Works on a local disk and on NFS 4, whose server keeps locks.

use super::scheduler::Moment;
use super::store::{Edit, Store};
use super::study::{Definition, Study};
use super::worker::host;
use crate::files::write_json;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A folder that holds a study.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
    // Locked as long as the store is open.
    attendance: Option<File>,
}

impl FileStore {
    /// Opens or creates it.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn open(folder: &Path) -> Result<Self> {
        let workers = folder.join("workers");
        std::fs::create_dir_all(&workers)
            .with_context(|| format!("{}: cannot be created", workers.display()))?;
        Ok(Self { folder: folder.to_owned(), attendance: None })
    }

    fn study(&self) -> PathBuf {
        self.folder.join("study.json")
    }

    fn worker(&self, worker: &str) -> PathBuf {
        self.folder.join("workers").join(worker)
    }

    /// Takes the lock; it is released with the file.
    fn lock(&self) -> Result<File> {
        let path = self.folder.join("lock");
        let open = || -> std::io::Result<File> {
            let file = File::options().create(true).append(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        open().with_context(|| format!("{}: cannot be locked", path.display()))
    }

    fn moment(&self, lock: &mut File, study: &Study) -> Result<Moment> {
        // The time that the file system gives to a write is one clock for all machines that share it.
        lock.set_len(0)?;
        lock.write_all(b".")?;
        let now = lock.metadata()?.modified()?.duration_since(UNIX_EPOCH)?.as_secs_f64();
        let here = host();
        let claims = study.trials.iter().filter_map(|trial| trial.claim.as_ref());
        // Another machine's locks may not be visible here: its workers are given up by their lease alone.
        let gone: BTreeSet<String> = claims
            .filter(|claim| claim.host == here && self.is_gone(&claim.worker))
            .map(|claim| claim.worker.clone())
            .collect();
        Ok(Moment { now, gone })
    }

    fn is_gone(&self, worker: &str) -> bool {
        match File::open(self.worker(worker)) {
            Ok(file) => !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }
}

impl Store for FileStore {
    fn begin(&mut self, definition: &Definition) -> Result<()> {
        let _lock = self.lock()?;
        if let Some(begun) = self.load()? {
            return definition.ensure_same(&begun.definition).context(self.study().display().to_string());
        }
        write_json(&self.study(), &Study { definition: definition.clone(), trials: Vec::new() })
    }

    fn edit(&mut self, edit: &mut Edit) -> Result<()> {
        let mut lock = self.lock()?;
        let mut study = self
            .load()?
            .with_context(|| format!("{}: is gone in the middle of the study", self.study().display()))?;
        let moment = self.moment(&mut lock, &study)?;
        let before = study.clone();
        edit(&mut study, &moment)?;
        if study == before { Ok(()) } else { write_json(&self.study(), &study) }
    }

    fn load(&mut self) -> Result<Option<Study>> {
        let path = self.study();
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{}: is no study", path.display())).map(Some)
    }

    fn attend(&mut self, worker: &str) -> Result<()> {
        let path = self.worker(worker);
        let file = File::create(&path).with_context(|| format!("{}: cannot be created", path.display()))?;
        // Shared: a worker attends from several threads. Whoever asks whether it is gone tries for the whole lock.
        file.lock_shared().with_context(|| format!("{}: cannot be locked", path.display()))?;
        self.attendance = Some(file);
        Ok(())
    }
}
