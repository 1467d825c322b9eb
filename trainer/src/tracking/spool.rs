//! The spool: an append-only file of events, and how much of it each store has received.

use super::event::Event;
use crate::files;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The folder `trainer.tracking.spool` of a run directory.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The line and the parser's message if it is not an event.
    pub event: Result<Event, String>,
    /// Byte position of the next line.
    pub end: u64,
}

/// `sent.json`: what each store has received.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sent {
    /// By [`Store::target`](super::store::Store::target).
    pub targets: BTreeMap<String, Delivered>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    /// The store's id of the run.
    pub run: Option<String>,
    /// Bytes of the spool that have been processed.
    pub position: u64,
    /// Number of accepted events.
    pub events: usize,
    pub refused: Vec<String>,
    /// RegisteredVersion version numbers by bundle digest.
    pub versions: BTreeMap<String, String>,
}

impl Spool {
    /// Opens the spool in a folder, creating it if needed.
    pub fn open(folder: PathBuf) -> Result<Self> {
        files::create_folder(&folder)?;
        Ok(Self { folder })
    }

    pub fn file(&self) -> PathBuf {
        self.folder.join("events.ndjson")
    }

    /// The events are on disk when this returns.
    pub fn append(&self, events: &[Event]) -> Result<()> {
        let mut lines = Vec::new();
        for event in events {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        let mut write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(self.file())?;
            if file.metadata()?.len() > 0 {
                let mut last = [0];
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                // A power cut left an incomplete line: keep the next one separate from it.
                if last != *b"\n" {
                    lines.insert(0, b'\n');
                }
            }
            file.write_all(&lines)?;
            file.sync_data()
        };
        write().with_context(|| format!("{}: cannot be appended to", self.file().display()))
    }

    /// Complete lines from a byte position on.
    pub fn lines(&self, position: u64) -> Result<Vec<Line>> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            match File::open(self.file()) {
                Ok(mut file) => {
                    file.seek(SeekFrom::Start(position))?;
                    file.read_to_end(&mut bytes)?;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            Ok(bytes)
        };
        let bytes = read().with_context(|| format!("{}: cannot be read", self.file().display()))?;
        let mut end = position;
        let complete = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let lines = complete.map(|line| {
            end += line.len() as u64;
            let event = serde_json::from_slice(line)
                .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(line).trim_end()));
            Line { event, end }
        });
        Ok(lines.collect())
    }

    /// All events, skipping lines that are not events.
    pub fn events(&self) -> Result<Vec<Event>> {
        Ok(self.lines(0)?.into_iter().filter_map(|line| line.event.ok()).collect())
    }

    pub fn sent(&self) -> Result<Sent> {
        let file = self.sent_file();
        match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!(
                    "{}: is no state of delivery; remove it, and everything is sent again",
                    file.display()
                )
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Sent::default()),
            Err(error) => Err(error).with_context(|| format!("{}: cannot be read", file.display())),
        }
    }

    /// Records what a store has received.
    pub fn mark(&self, target: &str, delivered: &Delivered) -> Result<()> {
        let mut sent = self.sent()?;
        sent.targets.insert(target.to_owned(), delivered.clone());
        files::write_json(&self.sent_file(), &sent)
    }

    /// Locks the spool for sending, so that two processes do not create the same run. `None` if another holds
    /// the lock.
    pub fn lock(&self) -> Result<Option<File>> {
        let path = self.folder.join("sending.lock");
        let open = || -> std::io::Result<Option<File>> {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            match file.try_lock() {
                Ok(()) => Ok(Some(file)),
                Err(std::fs::TryLockError::WouldBlock) => Ok(None),
                Err(std::fs::TryLockError::Error(error)) => Err(error),
            }
        };
        open().with_context(|| format!("{}: cannot be locked", path.display()))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn sent_file(&self) -> PathBuf {
        self.folder.join("sent.json")
    }
}
