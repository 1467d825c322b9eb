//! The encoding of windows, baselines and states of detectors: variable-length integers, and the bits of
//! floating-point numbers.

use std::sync::Arc;

/// Bytes that do not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the bytes end early, at byte {0}")]
    Truncated(usize),
    #[error("{what} is out of range, before byte {at}")]
    Range { what: &'static str, at: usize },
    #[error("version {found} of {what} is not known, {known} is")]
    Version { what: &'static str, found: u64, known: u64 },
    #[error("bytes follow the end, from byte {0} on")]
    TrailingBytes(usize),
}

#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn n(&mut self, value: u64) {
        self.wide(u128::from(value));
    }

    fn wide(&mut self, mut value: u128) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn signed(&mut self, value: i128) {
        self.wide((value << 1 ^ value >> 127) as u128);
    }

    pub(crate) fn double(&mut self, value: f64) {
        self.0.extend(value.to_bits().to_le_bytes());
    }

    pub(crate) fn single(&mut self, value: f32) {
        self.0.extend(value.to_bits().to_le_bytes());
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.n(value.len() as u64);
        self.0.extend(value.as_bytes());
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.0.extend(value);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads the version first.
    pub(crate) fn new(bytes: &'a [u8], what: &'static str, known: u64) -> Result<Self, DecodeError> {
        let mut reader = Self { bytes, at: 0 };
        let found = reader.n(u64::MAX, what)?;
        if found == known { Ok(reader) } else { Err(DecodeError::Version { what, found, known }) }
    }

    pub(crate) const fn range(&self, what: &'static str) -> DecodeError {
        DecodeError::Range { what, at: self.at }
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let taken = self.bytes[self.at..].get(..n).ok_or(DecodeError::Truncated(self.bytes.len()))?;
        self.at += n;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    fn wide(&mut self) -> Result<u128, DecodeError> {
        let mut value = 0u128;
        for shift in (0..133).step_by(7) {
            let [byte] = self.array()?;
            let part = u128::from(byte & 0x7f);
            if shift == 126 && byte > 3 {
                break;
            }
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.range("an integer"))
    }

    /// A number up to `most`.
    pub(crate) fn n(&mut self, most: u64, what: &'static str) -> Result<u64, DecodeError> {
        let value = self.wide()?;
        u64::try_from(value).ok().filter(|value| *value <= most).ok_or_else(|| self.range(what))
    }

    /// The length of a list whose items take at least `item_bytes` each, so that it fits what is left.
    pub(crate) fn length(&mut self, item_bytes: usize, what: &'static str) -> Result<usize, DecodeError> {
        let left = (self.bytes.len() - self.at) / item_bytes;
        Ok(self.n(left as u64, what)? as usize)
    }

    pub(crate) fn signed(&mut self) -> Result<i128, DecodeError> {
        let value = self.wide()?;
        Ok((value >> 1) as i128 ^ -((value & 1) as i128))
    }

    pub(crate) fn double(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_bits(u64::from_le_bytes(self.array()?)))
    }

    /// A finite number.
    pub(crate) fn finite(&mut self, what: &'static str) -> Result<f64, DecodeError> {
        let value = self.double()?;
        if value.is_finite() { Ok(value) } else { Err(self.range(what)) }
    }

    pub(crate) fn single(&mut self) -> Result<f32, DecodeError> {
        Ok(f32::from_bits(u32::from_le_bytes(self.array()?)))
    }

    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        Ok(self.n(1, what)? == 1)
    }

    pub(crate) fn text(&mut self, what: &'static str) -> Result<Arc<str>, DecodeError> {
        let n = self.length(1, what)?;
        let bytes = self.bytes(n)?;
        std::str::from_utf8(bytes).map(Arc::from).map_err(|_| self.range(what))
    }

    pub(crate) fn at_end(&self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(DecodeError::TrailingBytes(self.at)) }
    }
}
