//! The decoded bytes of one strip or tile in pieces, so that memory does not grow with the chunk.

use super::cancel_poll::CancelPoll;
use super::codec::{Codec, Damaged};
use super::layout::Compression;
use crate::cancel::Cancelled;
use std::borrow::Cow;

/// Size of the buffer of decoded bytes.
pub(super) const BUFFER_BYTES: usize = 64 << 10;
/// Compressed bytes per step of the codec.
const INPUT_BYTES: usize = 16 << 10;
/// A chunk may take twice as many compressed bytes as it decodes to, plus this many. No encoder comes near.
/// The limit stops blocks, codes and runs that decode to nothing.
const SPARE_BYTES: u64 = 64 << 10;
/// Extra compressed bytes that a step without output counts as.
const EMPTY_STEP: usize = 256;
/// A chunk may decode to twice the bytes that its pixels need, plus this many, before its checksum is
/// skipped.
const LONGER_BYTES: usize = 1 << 10;
/// Starting a chunk takes about as long as decoding this many bytes.
const NEW_CHUNK: usize = 1 << 10;

/// Why a chunk cannot be decoded further.
#[derive(Debug)]
pub(super) enum Stop {
    /// The compressed data ended too early.
    Short,
    Damaged,
    Cancelled(Cancelled),
}

impl From<Cancelled> for Stop {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled(cancelled)
    }
}

impl From<Damaged> for Stop {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

pub(super) struct Stream<'a> {
    codec: Codec,
    reversed_bits: bool,
    input: Cow<'a, [u8]>,
    at: usize,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the chunk still to be decoded.
    to_come: usize,
    /// Decoded bytes of the chunk, and the compressed bytes that they cost.
    given: u64,
    spent: u64,
}

impl<'a> Stream<'a> {
    pub(super) fn new(compression: Compression, reversed_bits: bool) -> Self {
        let buffer = if compression == Compression::Stored { Vec::new() } else { vec![0; BUFFER_BYTES] };
        let codec = Codec::new(compression);
        let input = Cow::Borrowed([].as_slice());
        Self { codec, reversed_bits, input, at: 0, buffer, start: 0, end: 0, to_come: 0, given: 0, spent: 0 }
    }

    /// Starts a chunk of `n_bytes` decoded bytes.
    pub(super) fn open(
        &mut self,
        input: &'a [u8],
        n_bytes: usize,
        poll: &mut CancelPoll<'_>,
    ) -> Result<(), Cancelled> {
        poll.count(NEW_CHUNK)?;
        self.input = if self.reversed_bits {
            Cow::Owned(input.iter().map(|byte| byte.reverse_bits()).collect())
        } else {
            Cow::Borrowed(input)
        };
        self.codec.reset();
        (self.at, self.start, self.end, self.to_come, self.given, self.spent) = (0, 0, 0, n_bytes, 0, 0);
        Ok(())
    }

    /// Returns the next `n_bytes`; of a compressed chunk at most [`BUFFER_BYTES`].
    pub(super) fn take(&mut self, n_bytes: usize, poll: &mut CancelPoll<'_>) -> Result<&[u8], Stop> {
        if let Codec::Stored = self.codec {
            let piece = self.input.get(self.at..self.at + n_bytes).ok_or(Stop::Short)?;
            self.at += n_bytes;
            return Ok(piece);
        }
        if self.end - self.start < n_bytes {
            self.refill(n_bytes, poll)?;
        }
        let piece = &self.buffer[self.start..self.start + n_bytes];
        self.start += n_bytes;
        Ok(piece)
    }

    fn refill(&mut self, n_bytes: usize, poll: &mut CancelPoll<'_>) -> Result<(), Stop> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while self.end < n_bytes {
            let room = (self.buffer.len() - self.end).min(self.to_come);
            let input = &self.input[self.at..];
            let input = &input[..input.len().min(INPUT_BYTES)];
            let step = self.codec.step(input, &mut self.buffer[self.end..self.end + room])?;
            self.at += step.taken;
            self.end += step.given;
            self.to_come -= step.given;
            let cost = step.taken + if step.given == 0 { EMPTY_STEP } else { 0 };
            poll.count(cost + step.given + 1)?;
            self.given += step.given as u64;
            self.spent += cost as u64;
            if step.ended && self.end < n_bytes {
                return Err(Stop::Short);
            }
            if self.spent > 2 * self.given + SPARE_BYTES {
                return Err(Stop::Damaged);
            }
        }
        Ok(())
    }

    /// Checks Deflate's checksum at the end of a chunk. If much more data follow than the pixels need, they
    /// are padding: they are not decoded, and the checksum is not reached.
    pub(super) fn close(&mut self, poll: &mut CancelPoll<'_>) -> Result<(), Stop> {
        let Codec::Deflate(_) = self.codec else { return Ok(()) };
        let mut allowed = self.given as usize + LONGER_BYTES;
        while allowed > 0 {
            let input = &self.input[self.at..];
            let input = &input[..input.len().min(INPUT_BYTES)];
            let room = self.buffer.len().min(allowed);
            let step = self.codec.step(input, &mut self.buffer[..room])?;
            poll.count(step.taken + step.given)?;
            self.at += step.taken;
            allowed = allowed.saturating_sub(step.taken + step.given);
            if step.verified {
                break;
            }
            if step.ended {
                return Err(Stop::Damaged);
            }
        }
        Ok(())
    }
}
