//! The supported compressions, decoded in bounded steps.

use super::layout::Compression;
use flate2::{Decompress, FlushDecompress, Status};
use weezl::{BitOrder, LzwStatus};

/// Result of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) taken: usize,
    pub(super) given: usize,
    /// The data ended: the end code was read, or no progress was possible.
    pub(super) ended: bool,
    /// Deflate's end was read and its checksum is right.
    pub(super) verified: bool,
}

/// The compressed data violate their format.
#[derive(Debug)]
pub(super) struct Damaged;

pub(super) enum Codec {
    Stored,
    Lzw(weezl::decode::Decoder),
    Deflate(Decompress),
    PackBits(PackBits),
}

impl Codec {
    pub(super) fn new(compression: Compression) -> Self {
        match compression {
            Compression::Stored => Self::Stored,
            Compression::Lzw => Self::Lzw(
                weezl::decode::Configuration::with_tiff_size_switch(BitOrder::Msb, 8)
                    .with_yield_on_full_buffer(true)
                    .build(),
            ),
            Compression::Deflate => Self::Deflate(Decompress::new(true)),
            Compression::PackBits => Self::PackBits(PackBits::default()),
        }
    }

    /// Prepares for the next chunk.
    pub(super) fn reset(&mut self) {
        match self {
            Self::Stored => {}
            Self::Lzw(decoder) => decoder.reset(),
            Self::Deflate(decoder) => decoder.reset(true),
            Self::PackBits(decoder) => *decoder = PackBits::default(),
        }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Damaged> {
        match self {
            Self::Stored => {
                let n = input.len().min(output.len());
                output[..n].copy_from_slice(&input[..n]);
                Ok(Step { taken: n, given: n, ended: n == input.len(), verified: false })
            }
            Self::Lzw(decoder) => {
                let result = decoder.decode_bytes(input, output);
                let (taken, given) = (result.consumed_in, result.consumed_out);
                let ended = match result.status.map_err(|_| Damaged)? {
                    // A clear code may come from bits that were taken before.
                    LzwStatus::Ok => false,
                    LzwStatus::NoProgress => (taken, given) == (0, 0),
                    LzwStatus::Done => true,
                };
                Ok(Step { taken, given, ended, verified: false })
            }
            Self::Deflate(decoder) => {
                let (taken, given) = (decoder.total_in(), decoder.total_out());
                let status = decoder.decompress(input, output, FlushDecompress::None).map_err(|_| Damaged)?;
                let taken = (decoder.total_in() - taken) as usize;
                let given = (decoder.total_out() - given) as usize;
                let verified = status == Status::StreamEnd;
                Ok(Step { taken, given, ended: verified || (taken, given) == (0, 0), verified })
            }
            Self::PackBits(decoder) => Ok(decoder.step(input, output)),
        }
    }
}

/// PackBits (TIFF 6.0, section 9): literal bytes, or one byte repeated.
#[derive(Debug, Default)]
pub(super) struct PackBits {
    literals: usize,
    repeats: usize,
    repeated: u8,
}

impl PackBits {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let (mut taken, mut given) = (0, 0);
        while given < output.len() {
            if self.repeats > 0 {
                let n = self.repeats.min(output.len() - given);
                output[given..given + n].fill(self.repeated);
                (self.repeats, given) = (self.repeats - n, given + n);
                continue;
            }
            let left = &input[taken..];
            if self.literals > 0 && !left.is_empty() {
                let n = self.literals.min(output.len() - given).min(left.len());
                output[given..given + n].copy_from_slice(&left[..n]);
                (self.literals, taken, given) = (self.literals - n, taken + n, given + n);
                continue;
            }
            match *left {
                [length @ 0..=127, ..] => (self.literals, taken) = (usize::from(length) + 1, taken + 1),
                [128, ..] => taken += 1,
                [length, value, ..] => {
                    (self.repeats, self.repeated, taken) = (257 - usize::from(length), value, taken + 2);
                }
                _ => break,
            }
        }
        Step { taken, given, ended: (taken, given) == (0, 0), verified: false }
    }
}
