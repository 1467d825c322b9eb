//! The decoder's input: parts of memory as one stream. It returns an error once the work is cancelled, and if
//! the decoder asks for compressed data beyond the end of a scan.

use crate::cancel::Cancel;
use std::cell::Cell;
use zune_core::bytestream::{ZByteIoError, ZByteReaderTrait, ZSeekFrom};
#[derive(Debug)]
pub(super) enum Part<'a> {
    /// Generated headers.
    Header(Vec<u8>),
    /// Compressed data of the original file.
    ScanData(&'a [u8]),
    /// One bits behind compressed data. The decoder reads ahead; the position shows whether it ran out of
    /// data.
    Sentinel,
}

/// Eight bytes of ones, stuffed as in compressed data. No Huffman code is all ones (T.81 annex C), so the
/// decoder finds no symbol in them.
static SENTINEL: [u8; 16] = *b"\xFF\0\xFF\0\xFF\0\xFF\0\xFF\0\xFF\0\xFF\0\xFF\0";
/// The decoder reads this many bytes at a time once it holds fewer bits than they have.
const REFILL_BYTES: usize = 4;

/// Why the stream stopped early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The caller cancelled.
    Cancelled,
    /// A scan needs more data than it has. The decoder would continue with zeros and show grey or noise.
    OutOfData,
}

impl Part<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Header(bytes) => bytes,
            Self::ScanData(bytes) => bytes,
            Self::Sentinel => &SENTINEL,
        }
    }
}

/// Reads parts as one stream.
pub(super) struct PartReader<'a> {
    parts: &'a [Part<'a>],
    /// Index of the current part, offset in it, and number of bytes before it.
    part: usize,
    offset: usize,
    before: usize,
    /// End of the bytes in this part that need no check: the part's end or the next poll.
    fast_end: usize,
    step: usize,
    next_poll: usize,
    cancel: Cancel<'a>,
    stop_reason: &'a Cell<Option<StopReason>>,
}

impl<'a> PartReader<'a> {
    /// A stream that polls `cancel` every `step` bytes.
    pub(super) fn new(
        parts: &'a [Part<'a>],
        step: usize,
        cancel: Cancel<'a>,
        stop_reason: &'a Cell<Option<StopReason>>,
    ) -> Self {
        let mut reader = Self {
            parts,
            part: 0,
            offset: 0,
            before: 0,
            fast_end: 0,
            step,
            next_poll: 0,
            cancel,
            stop_reason,
        };
        reader.advance();
        reader
    }

    fn bytes(&self) -> &'a [u8] {
        self.parts.get(self.part).map_or(&[], Part::bytes)
    }

    /// Advances to the part that holds the next byte, and polls for cancellation when due.
    fn advance(&mut self) {
        while self.offset >= self.bytes().len() && self.part < self.parts.len() {
            self.offset -= self.bytes().len();
            self.before += self.bytes().len();
            self.part += 1;
        }
        let position = self.before + self.offset;
        if position >= self.next_poll {
            self.next_poll = position + self.step;
            if self.cancel.check().is_err() {
                self.stop_reason.set(Some(StopReason::Cancelled));
            }
        }
        let poll = self.next_poll - self.before;
        let watched =
            self.stop_reason.get().is_some() || matches!(self.parts.get(self.part), Some(Part::Sentinel));
        self.fast_end = if watched { 0 } else { poll.min(self.bytes().len()) };
    }

    #[cold]
    fn read_across_parts(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        let mut n_read = 0;
        while n_read < buffer.len() {
            self.advance();
            if n_read == 0 && buffer.len() == REFILL_BYTES && self.has_used_sentinel() {
                self.stop_reason.set(Some(StopReason::OutOfData));
            }
            self.check_stopped()?;
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

    /// The decoder refills when it holds less than `REFILL_BYTES` of bits. If it has then read that much of
    /// the sentinel (twice as many bytes, because of stuffing), it has used sentinel bits. This also detects
    /// bits that are read without a symbol, as in refinement scans.
    fn has_used_sentinel(&self) -> bool {
        matches!(self.parts.get(self.part), Some(Part::Sentinel)) && self.offset >= 2 * REFILL_BYTES
    }

    fn check_stopped(&self) -> Result<(), ZByteIoError> {
        if self.stop_reason.get().is_some() {
            Err(ZByteIoError::Generic("the stream was ended"))
        } else {
            Ok(())
        }
    }

    fn length(&self) -> usize {
        self.parts.iter().map(|part| part.bytes().len()).sum()
    }

    fn seek_to(&mut self, position: usize) {
        if position >= self.before {
            self.offset = position - self.before;
        } else {
            (self.part, self.before, self.offset) = (0, 0, position);
        }
        self.advance();
    }
}

impl ZByteReaderTrait for PartReader<'_> {
    #[inline]
    fn read_byte_no_error(&mut self) -> u8 {
        let mut byte = [0];
        // The decoder calls `is_eof` after each byte, which reports a failure.
        let _ = self.read_bytes(&mut byte);
        byte[0]
    }

    #[inline]
    fn read_exact_bytes(&mut self, buffer: &mut [u8]) -> Result<(), ZByteIoError> {
        let end = self.offset + buffer.len();
        if end <= self.fast_end {
            buffer.copy_from_slice(&self.bytes()[self.offset..end]);
            self.offset = end;
            return Ok(());
        }
        let start = self.before + self.offset;
        let n_read = self.read_across_parts(buffer)?;
        if n_read < buffer.len() {
            self.seek_to(start);
            return Err(ZByteIoError::NotEnoughBytes(n_read, buffer.len()));
        }
        Ok(())
    }

    #[inline]
    fn read_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        let end = self.offset + buffer.len();
        if end <= self.fast_end {
            buffer.copy_from_slice(&self.bytes()[self.offset..end]);
            self.offset = end;
            return Ok(buffer.len());
        }
        self.read_across_parts(buffer)
    }

    fn peek_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        let start = self.before + self.offset;
        let n_read = self.read_bytes(buffer)?;
        self.seek_to(start);
        Ok(n_read)
    }

    fn peek_exact_bytes(&mut self, buffer: &mut [u8]) -> Result<(), ZByteIoError> {
        let start = self.before + self.offset;
        self.read_exact_bytes(buffer)?;
        self.seek_to(start);
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
        // Seeking back over a 0xFF byte is part of reading compressed data.
        if position >= self.before && position <= self.before + self.fast_end {
            self.offset = position - self.before;
        } else {
            self.seek_to(position);
        }
        Ok(position as u64)
    }

    #[inline]
    fn is_eof(&mut self) -> Result<bool, ZByteIoError> {
        if self.offset < self.fast_end {
            return Ok(false);
        }
        self.advance();
        self.check_stopped()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(bytes: &[u8]) -> Vec<Part<'_>> {
        vec![
            Part::Header(bytes[..5].to_vec()),
            Part::ScanData(&bytes[5..6]),
            Part::ScanData(&[]),
            Part::ScanData(&bytes[6..]),
        ]
    }

    #[test]
    fn parts_read_as_one_stream_forwards_and_back() {
        let bytes: Vec<u8> = (0..40).collect();
        let (parts, stop_reason) = (parts(&bytes), Cell::new(None));
        for step in [1, 3, 4096] {
            let mut reader = PartReader::new(&parts, step, Cancel::NEVER, &stop_reason);
            for position in 0..=36 {
                let mut piece = [0; 4];
                reader.read_exact_bytes(&mut piece).unwrap();
                assert_eq!(piece, bytes[position..position + 4]);
                assert_eq!(reader.z_seek(ZSeekFrom::Current(-3)).unwrap(), position as u64 + 1);
            }
            // Two bytes before the end: a read that does not fit fails and consumes nothing.
            reader.z_seek(ZSeekFrom::End(-2)).unwrap();
            assert!(reader.read_exact_bytes(&mut [0; 4]).is_err());
            assert_eq!([reader.read_byte_no_error(), reader.read_byte_no_error()], [38, 39]);
            assert!(reader.is_eof().unwrap());
            assert_eq!(stop_reason.get(), None);
        }
    }

    #[test]
    fn a_stop_and_data_that_run_out_end_the_stream() {
        let bytes: Vec<u8> = (0..40).collect();
        let (parts, stop_reason) = (parts(&bytes), Cell::new(None));
        let n_asked = Cell::new(0);
        let stop = || n_asked.replace(n_asked.get() + 1) == 2;
        let mut reader = PartReader::new(&parts, 10, Cancel::when(&stop), &stop_reason);
        let n_read = (0..40).take_while(|_| reader.read_exact_bytes(&mut [0; 1]).is_ok()).count();
        assert_eq!((n_read, stop_reason.get()), (20, Some(StopReason::Cancelled)));
        assert!(reader.is_eof().is_err());

        let parts = [Part::ScanData(&bytes), Part::Sentinel];
        let stop_reason = Cell::new(None);
        let mut reader = PartReader::new(&parts, 4096, Cancel::NEVER, &stop_reason);
        // Ten reads of data, two of the sentinel, and no more.
        let n_read = (0..20).take_while(|_| reader.read_exact_bytes(&mut [0; 4]).is_ok()).count();
        assert_eq!((n_read, stop_reason.get()), (12, Some(StopReason::OutOfData)));
    }
}
