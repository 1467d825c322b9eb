//! The decoded bytes of one strip or tile, a piece at a time: memory is that of the pieces, not of the chunk.

use super::codec::{Codec, Damaged};
use super::layout::Compression;
use super::pace::Pace;
use crate::cancel::Cancelled;
use std::borrow::Cow;

/// Decoded bytes that are kept ahead of what was asked for.
pub(super) const BUFFER_BYTES: usize = 64 << 10;
/// Compressed bytes between two questions whether to stop.
const INPUT_BYTES: usize = 4 << 10;
/// Compressed bytes beyond twice the decoded ones that a chunk may spend: no encoder comes near, and blocks, codes and runs
/// that give nothing would otherwise cost time without end.
const SPARE_BYTES: u64 = 64 << 10;
/// What a step that gives nothing counts for against that, besides its bytes.
const EMPTY_STEP: usize = 256;
/// What a new chunk costs.
const NEW_CHUNK: usize = 1 << 10;

/// Why there are no more bytes.
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
    /// Bytes of the chunk that are not decoded yet.
    to_come: usize,
    /// Decoded bytes of the chunk, and what was spent on them.
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

    /// Begins a chunk of `n_bytes` decoded bytes.
    pub(super) fn open(
        &mut self,
        input: &'a [u8],
        n_bytes: usize,
        pace: &mut Pace<'_>,
    ) -> Result<(), Cancelled> {
        pace.spend(NEW_CHUNK)?;
        self.input = if self.reversed_bits {
            Cow::Owned(input.iter().map(|byte| byte.reverse_bits()).collect())
        } else {
            Cow::Borrowed(input)
        };
        self.codec.reset();
        (self.at, self.start, self.end, self.to_come, self.given, self.spent) = (0, 0, 0, n_bytes, 0, 0);
        Ok(())
    }

    /// The next `n_bytes`, at most [`BUFFER_BYTES`] of a compressed chunk.
    pub(super) fn take(&mut self, n_bytes: usize, pace: &mut Pace<'_>) -> Result<&[u8], Stop> {
        if let Codec::Stored = self.codec {
            let piece = self.input.get(self.at..self.at + n_bytes).ok_or(Stop::Short)?;
            self.at += n_bytes;
            return Ok(piece);
        }
        if self.end - self.start < n_bytes {
            self.refill(n_bytes, pace)?;
        }
        let piece = &self.buffer[self.start..self.start + n_bytes];
        self.start += n_bytes;
        Ok(piece)
    }

    fn refill(&mut self, n_bytes: usize, pace: &mut Pace<'_>) -> Result<(), Stop> {
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
            pace.spend(cost + step.given + 1)?;
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

    /// The end of a chunk that was taken whole: Deflate's checksum, where the data reach to it.
    pub(super) fn close(&mut self) -> Result<(), Damaged> {
        if let Codec::Deflate(_) = self.codec {
            let rest = &self.input[self.at..];
            self.codec.step(&rest[..rest.len().min(INPUT_BYTES)], &mut [0])?;
        }
        Ok(())
    }
}
