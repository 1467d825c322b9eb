//! What the decoder reads from: parts of memory as one stream, which ends in an error once the caller wants to stop.

use crate::cancel::Cancel;
use std::cell::Cell;
use zune_core::bytestream::{ZByteIoError, ZByteReaderTrait, ZSeekFrom};

/// A piece of the stream.
#[derive(Debug)]
pub(super) enum Part<'a> {
    /// Headers that we wrote.
    Ours(Vec<u8>),
    /// Compressed data of the file.
    Theirs(&'a [u8]),
}

impl Part<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Ours(bytes) => bytes,
            Self::Theirs(bytes) => bytes,
        }
    }
}

/// The stream.
pub(super) struct Source<'a> {
    parts: &'a [Part<'a>],
    /// Which part, where in it, and how many bytes lie before it.
    part: usize,
    offset: usize,
    before: usize,
    /// Bytes of this part that may be read without a second thought: up to its end or the next question.
    fence: usize,
    step: usize,
    next_question: usize,
    cancel: Cancel<'a>,
    /// Set once the answer was to stop.
    stopped: &'a Cell<bool>,
}

impl<'a> Source<'a> {
    /// A stream that asks `cancel` every `step` bytes.
    pub(super) fn new(
        parts: &'a [Part<'a>],
        step: usize,
        cancel: Cancel<'a>,
        stopped: &'a Cell<bool>,
    ) -> Self {
        let mut source =
            Self { parts, part: 0, offset: 0, before: 0, fence: 0, step, next_question: 0, cancel, stopped };
        source.settle();
        source
    }

    fn bytes(&self) -> &'a [u8] {
        self.parts.get(self.part).map_or(&[], Part::bytes)
    }

    /// Moves on to the part that holds the next byte, and asks whether to stop where it is time.
    fn settle(&mut self) {
        while self.offset >= self.bytes().len() && self.part < self.parts.len() {
            self.offset -= self.bytes().len();
            self.before += self.bytes().len();
            self.part += 1;
        }
        let position = self.before + self.offset;
        if position >= self.next_question {
            self.next_question = position + self.step;
            if self.cancel.check().is_err() {
                self.stopped.set(true);
            }
        }
        let question = self.next_question - self.before;
        self.fence = if self.stopped.get() { 0 } else { question.min(self.bytes().len()) };
    }

    #[cold]
    fn read_slowly(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        let mut n_read = 0;
        while n_read < buffer.len() {
            self.settle();
            if self.stopped.get() {
                return Err(ZByteIoError::Generic("stopped"));
            }
            let rest = &self.bytes()[self.offset.min(self.bytes().len())..];
            if rest.is_empty() {
                break;
            }
            let n = rest.len().min(buffer.len() - n_read);
            buffer[n_read..n_read + n].copy_from_slice(&rest[..n]);
            self.offset += n;
            n_read += n;
        }
        Ok(n_read)
    }

    fn length(&self) -> usize {
        self.parts.iter().map(|part| part.bytes().len()).sum()
    }

    fn move_to(&mut self, position: usize) {
        if position >= self.before {
            self.offset = position - self.before;
        } else {
            (self.part, self.before, self.offset) = (0, 0, position);
        }
        self.settle();
    }
}

impl ZByteReaderTrait for Source<'_> {
    #[inline]
    fn read_byte_no_error(&mut self) -> u8 {
        let mut byte = [0];
        // A failure shows at the next `is_eof`, which the decoder asks after each byte.
        let _ = self.read_bytes(&mut byte);
        byte[0]
    }

    #[inline]
    fn read_exact_bytes(&mut self, buffer: &mut [u8]) -> Result<(), ZByteIoError> {
        let end = self.offset + buffer.len();
        if end <= self.fence {
            buffer.copy_from_slice(&self.bytes()[self.offset..end]);
            self.offset = end;
            return Ok(());
        }
        let start = self.before + self.offset;
        let n_read = self.read_slowly(buffer)?;
        if n_read < buffer.len() {
            self.move_to(start);
            return Err(ZByteIoError::NotEnoughBytes(n_read, buffer.len()));
        }
        Ok(())
    }

    #[inline]
    fn read_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        let end = self.offset + buffer.len();
        if end <= self.fence {
            buffer.copy_from_slice(&self.bytes()[self.offset..end]);
            self.offset = end;
            return Ok(buffer.len());
        }
        self.read_slowly(buffer)
    }

    fn peek_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        let start = self.before + self.offset;
        let n_read = self.read_bytes(buffer)?;
        self.move_to(start);
        Ok(n_read)
    }

    fn peek_exact_bytes(&mut self, buffer: &mut [u8]) -> Result<(), ZByteIoError> {
        let start = self.before + self.offset;
        self.read_exact_bytes(buffer)?;
        self.move_to(start);
        Ok(())
    }

    #[inline]
    fn z_seek(&mut self, from: ZSeekFrom) -> Result<u64, ZByteIoError> {
        let (base, change) = match from {
            ZSeekFrom::Start(position) => (0, position as i64),
            ZSeekFrom::End(change) => (self.length(), change),
            ZSeekFrom::Current(change) => (self.before + self.offset, change),
        };
        let position =
            base.checked_add_signed(change as isize).ok_or(ZByteIoError::SeekError("negative seek"))?;
        // Going back over a byte with the value 0xFF is part of reading compressed data.
        if position >= self.before && position <= self.before + self.fence {
            self.offset = position - self.before;
        } else {
            self.move_to(position);
        }
        Ok(position as u64)
    }

    #[inline]
    fn is_eof(&mut self) -> Result<bool, ZByteIoError> {
        if self.offset < self.fence {
            return Ok(false);
        }
        self.settle();
        if self.stopped.get() {
            return Err(ZByteIoError::Generic("stopped"));
        }
        Ok(self.part >= self.parts.len())
    }

    fn z_position(&mut self) -> Result<u64, ZByteIoError> {
        Ok((self.before + self.offset) as u64)
    }

    fn read_remaining(&mut self, sink: &mut Vec<u8>) -> Result<usize, ZByteIoError> {
        let mut rest = vec![0; self.length().saturating_sub(self.before + self.offset)];
        let n_read = self.read_bytes(&mut rest)?;
        sink.extend_from_slice(&rest[..n_read]);
        Ok(n_read)
    }
}
