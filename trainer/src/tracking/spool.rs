//! The spool: an append-only file of events, and how much of it each store has received.

use super::event::Event;
use crate::files;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

const SENT: &str = "sent.json";

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

/// `sent.json`: what each store has received, by [`Store::target`](super::store::Store::target).
type Sent = BTreeMap<String, Delivered>;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    pub run: Option<String>,
    /// Bytes of the spool that have been processed.
    pub position: u64,
    /// Number of accepted events.
    pub events: usize,
    pub refused: Vec<String>,
    /// Registered version numbers by bundle digest.
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
        write().with_context(|| format!("{}: cannot be written", self.file().display()))
    }

    /// Complete lines from a byte position on.
    pub fn lines(&self, position: u64) -> Result<Vec<Line>> {
        let mut bytes = Vec::new();
        let mut read = || -> std::io::Result<()> {
            let mut file = File::open(self.file())?;
            file.seek(SeekFrom::Start(position))?;
            file.read_to_end(&mut bytes).map(drop)
        };
        match read() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => result.with_context(|| format!("{}: cannot be read", self.file().display()))?,
        }
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

    pub fn delivered(&self, target: &str) -> Result<Delivered> {
        Ok(self.sent()?.remove(target).unwrap_or_default())
    }

    pub fn save_delivered(&self, target: &str, delivered: &Delivered) -> Result<()> {
        let mut sent = self.sent()?;
        sent.insert(target.to_owned(), delivered.clone());
        files::write_json(&self.folder.join(SENT), &sent)
    }

    /// Locks the spool for sending. `None` if another process holds the lock.
    pub fn lock(&self) -> Result<Option<File>> {
        let path = self.folder.join("sending.lock");
        let failed = || format!("{}: cannot be locked", path.display());
        let file = OpenOptions::new().create(true).append(true).open(&path).with_context(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(failed),
        }
    }

    fn sent(&self) -> Result<Sent> {
        Ok(files::read_json(&self.folder.join(SENT))?.unwrap_or_default())
    }
}
