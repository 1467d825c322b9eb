//! The samples of a decoded image: one byte each if 8 bits are enough.

use std::borrow::Cow;

/// Row-major grey samples.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Samples {
    /// At most 8 bits are in use.
    Narrow(Vec<u8>),
    /// More than 8 bits are in use.
    Wide(Vec<u16>),
}

impl Samples {
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Narrow(samples) => samples.len(),
            Self::Wide(samples) => samples.len(),
        }
    }

    /// All samples as 16-bit values; copied if they are stored as bytes.
    pub(crate) fn widened(&self) -> Cow<'_, [u16]> {
        match self {
            Self::Narrow(samples) => samples.iter().map(|sample| u16::from(*sample)).collect(),
            Self::Wide(samples) => samples.into(),
        }
    }
}
