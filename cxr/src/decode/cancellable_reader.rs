//! A reader over bytes in memory that fails once the work is cancelled.

use crate::cancel::{Cancel, Cancelled};
use std::io::{BufRead, Cursor, Error, Read, Result, Seek, SeekFrom};

/// Bytes between two polls. Deflate expands a byte to at most about 1030 (RFC 1951), so at most 2 MB are
/// inflated between two polls, which takes about a millisecond.
const STEP: usize = 2048;

/// Polls for cancellation while it is read.
pub(super) struct CancellableReader<'a> {
    bytes: Cursor<&'a [u8]>,
    cancel: Cancel<'a>,
    /// Position of the last poll.
    polled_at: Option<u64>,
}

impl<'a> CancellableReader<'a> {
    pub(super) fn new(bytes: &'a [u8], cancel: Cancel<'a>) -> Self {
        Self { bytes: Cursor::new(bytes), cancel, polled_at: None }
    }

    /// Whether the error means cancellation and not a fault of the file.
    pub(super) fn is_cancellation(error: &Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.downcast_ref::<Cancelled>().is_some())
    }

    fn poll(&mut self) -> Result<()> {
        let at = self.bytes.position();
        if self.polled_at.is_none_or(|before| at < before || at - before >= STEP as u64) {
            self.polled_at = Some(at);
            self.cancel.check().map_err(Error::other)?;
        }
        Ok(())
    }
}

impl Read for CancellableReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.poll()?;
        let step = buffer.len().min(STEP);
        self.bytes.read(&mut buffer[..step])
    }
}

impl BufRead for CancellableReader<'_> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        self.poll()?;
        let rest = self.bytes.fill_buf()?;
        Ok(&rest[..rest.len().min(STEP)])
    }

    fn consume(&mut self, n: usize) {
        self.bytes.consume(n);
    }
}

impl Seek for CancellableReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.bytes.seek(to)
    }
}
