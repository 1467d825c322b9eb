//! The file store: a study is one JSON file behind a lock, plus one locked file for each live worker. The
//! operating system releases a lock when its process ends. This works on local disks and on NFS 4, whose
//! server keeps locks.
//!
//! A stalled process keeps its lock. Therefore the study lies in a numbered folder, `study-0`, with a lock of
//! the same number. A process that waited too long renames the folder to the next number and uses the next
//! lock. When the stalled process wakes up, its folder is gone: its write fails and it retries.

use super::scheduler::Liveness;
use super::store::{Edit, Store};
use super::study::{BeginOutcome, Definition, Study};
use crate::files::{self, write_json};
use crate::progress::say;
use crate::run::environment::host;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// An edit takes milliseconds. A process that holds the lock longer than this is stalled.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
    // Locked while the store is open.
    alive_lock: Option<File>,
}

impl FileStore {
    pub fn open(folder: &Path) -> Result<Self> {
        files::create_folder(&folder.join("workers"))?;
        Ok(Self { folder: folder.to_owned(), alive_lock: None })
    }

    fn number(&self) -> Result<u64> {
        let find = || -> std::io::Result<u64> {
            let mut highest = None;
            for entry in std::fs::read_dir(&self.folder)? {
                let name = entry?.file_name();
                highest =
                    highest.max(name.to_str().and_then(|name| name.strip_prefix("study-")?.parse().ok()));
            }
            if highest.is_none() {
                std::fs::create_dir_all(self.numbered(0))?;
            }
            Ok(highest.unwrap_or(0))
        };
        find().with_context(|| format!("{}: cannot be used", self.folder.display()))
    }

    fn numbered(&self, number: u64) -> PathBuf {
        self.folder.join(format!("study-{number}"))
    }

    fn worker(&self, worker: &str) -> PathBuf {
        self.folder.join("workers").join(worker)
    }

    fn lock(&self) -> Result<Lock> {
        let (mut blocked_by, mut since) = (None, Instant::now());
        loop {
            let number = self.number()?;
            let path = self.folder.join(format!("lock-{number}"));
            let file = File::options().create(true).append(true).open(&path);
            let file = file.with_context(|| format!("{}: cannot be opened", path.display()))?;
            match file.try_lock() {
                Ok(()) => {
                    let lock = Lock { file, folder: self.numbered(number) };
                    // The study may have been renamed before the lock was taken.
                    if lock.holds() {
                        return Ok(lock);
                    }
                }
                Err(TryLockError::WouldBlock) if blocked_by != Some(number) => {
                    (blocked_by, since) = (Some(number), Instant::now());
                }
                Err(TryLockError::WouldBlock) if since.elapsed() > LOCK_TIMEOUT => self.move_study(number)?,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("{}: cannot be locked", path.display()));
                }
            }
            std::thread::sleep(POLL);
        }
    }

    /// Renames the study away from a stalled process that holds its lock.
    fn move_study(&self, number: u64) -> Result<()> {
        let (from, to) = (self.numbered(number), self.numbered(number + 1));
        match std::fs::rename(&from, &to) {
            Ok(()) => {
                say(format!("a stalled process holds the study's lock: moved the study to {}", to.display()));
            }
            // Another process renamed it first.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            renamed => renamed.with_context(|| format!("{}: cannot be renamed", from.display()))?,
        }
        Ok(())
    }

    fn liveness(&self, lock: &mut Lock, study: &Study) -> Result<Liveness> {
        // The file system's modification times are one clock for all machines that share it.
        lock.file.set_len(0)?;
        lock.file.write_all(b".")?;
        let now = lock.file.metadata()?.modified()?.duration_since(UNIX_EPOCH)?.as_secs_f64();
        let here = host();
        // Locks of other machines may not be visible here, so their workers are given up by lease alone.
        let dead_workers: BTreeSet<String> = study
            .claims()
            .filter(|claim| claim.host == here && self.is_dead(&claim.worker))
            .map(|claim| claim.worker.clone())
            .collect();
        Ok(Liveness { now, dead_workers })
    }

    fn is_dead(&self, worker: &str) -> bool {
        match File::open(self.worker(worker)) {
            Ok(file) => !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
    }

    /// Runs `work` under the lock, and again if the study was renamed meanwhile.
    fn locked(&self, mut work: impl FnMut(&mut Lock) -> Result<()>) -> Result<()> {
        loop {
            let mut lock = self.lock()?;
            match work(&mut lock) {
                Err(_) if !lock.holds() => {}
                result => return result,
            }
        }
    }
}

struct Lock {
    file: File,
    folder: PathBuf,
}

impl Lock {
    /// Whether the study is still in the folder that this lock guards.
    fn holds(&self) -> bool {
        self.folder.exists()
    }

    fn study(&self) -> PathBuf {
        self.folder.join("study.json")
    }
}

fn read(path: &Path) -> Result<Option<Study>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("{}: cannot be read", path.display()))?,
    };
    serde_json::from_slice(&text).with_context(|| format!("{}: not a study", path.display())).map(Some)
}

impl Store for FileStore {
    fn begin(&mut self, definition: &Definition) -> Result<BeginOutcome> {
        let mut outcome = BeginOutcome::Unchanged;
        self.locked(|lock| {
            let path = lock.study();
            if let Some(study) = read(&path)? {
                outcome = study.begin(definition).with_context(|| path.display().to_string())?;
                if outcome == BeginOutcome::Unchanged {
                    return Ok(());
                }
            }
            write_json(&path, &Study { definition: definition.clone(), trials: Vec::new() })
        })?;
        Ok(outcome)
    }

    fn edit(&mut self, edit: &mut Edit) -> Result<()> {
        self.locked(|lock| {
            let path = lock.study();
            let mut study = read(&path)?.with_context(|| format!("{}: is missing", path.display()))?;
            let liveness = self.liveness(lock, &study)?;
            let before = study.clone();
            edit(&mut study, &liveness)?;
            if study == before { Ok(()) } else { write_json(&path, &study) }
        })
    }

    fn load(&mut self) -> Result<Option<Study>> {
        loop {
            let folder = self.numbered(self.number()?);
            let study = read(&folder.join("study.json"))?;
            // The study was renamed between the two calls: look again.
            if study.is_some() || folder.exists() {
                return Ok(study);
            }
        }
    }

    fn mark_alive(&mut self, worker: &str) -> Result<()> {
        let path = self.worker(worker);
        let file = File::create(&path).with_context(|| format!("{}: cannot be created", path.display()))?;
        // Shared, because a worker opens several stores.
        file.lock_shared().with_context(|| format!("{}: cannot be locked", path.display()))?;
        self.alive_lock = Some(file);
        Ok(())
    }
}
