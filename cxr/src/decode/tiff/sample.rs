//! Sample types and their unpacking from a row's bytes.

use crate::decode::luma;

/// A sample of one channel: `u8` or `u16`.
pub(super) trait Sample: Copy + Default {
    /// Unpacks samples of `bits` bits from the bytes of a row.
    fn unpack(bytes: &[u8], bits: u8, big_endian: bool, into: &mut [Self]);
    /// Wrapping addition, for the predictor.
    fn plus(self, other: Self) -> Self;
    fn of(value: u16) -> Self;
    fn value(self) -> u16;

    fn luma([red, green, blue]: [Self; 3]) -> Self {
        Self::of(luma(red.value(), green.value(), blue.value()))
    }
}

impl Sample for u8 {
    fn unpack(bytes: &[u8], bits: u8, _: bool, into: &mut [Self]) {
        if bits == 8 {
            into.copy_from_slice(&bytes[..into.len()]);
        } else {
            unpack_bits(bytes, bits, into);
        }
    }
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    fn of(value: u16) -> Self {
        value as Self
    }
    fn value(self) -> u16 {
        self.into()
    }
}

impl Sample for u16 {
    fn unpack(bytes: &[u8], bits: u8, big_endian: bool, into: &mut [Self]) {
        if bits != 16 {
            return unpack_bits(bytes, bits, into);
        }
        let stored = into.iter_mut().zip(bytes.as_chunks::<2>().0);
        if big_endian {
            stored.for_each(|(sample, bytes)| *sample = Self::from_be_bytes(*bytes));
        } else {
            stored.for_each(|(sample, bytes)| *sample = Self::from_le_bytes(*bytes));
        }
    }
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    fn of(value: u16) -> Self {
        value
    }
    fn value(self) -> u16 {
        self
    }
}

/// Unpacks samples of 1 to 15 bits, most significant bit first in either byte order (TIFF 6.0, FillOrder).
fn unpack_bits<S: Sample>(bytes: &[u8], bits: u8, into: &mut [S]) {
    let mask = (1u32 << bits) - 1;
    let (mut held, mut n_held, mut bytes) = (0u32, 0, bytes.iter());
    for sample in into {
        while n_held < bits {
            held = held << 8 | u32::from(bytes.next().copied().unwrap_or_default());
            n_held += 8;
        }
        n_held -= bits;
        *sample = S::of((held >> n_held & mask) as u16);
    }
}
