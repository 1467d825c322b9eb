//! Samples to display values by a table from stored value to 16-bit brightness.

use crate::image::{Photometric, Windowing};
use crate::validate::AcceptedImage;
use fast_image_resize::pixels::U16;
use std::borrow::Cow;

/// Lookup table from stored value to brightness, 0 black to 65535 white.
pub(super) struct Lut(Vec<u16>);

impl Lut {
    pub(super) fn new(accepted: &AcceptedImage) -> Self {
        let image = accepted.image();
        let max = u32::from(image.max_value());
        let (black, white) = match image.windowing() {
            Windowing::FullRange => (0, max),
            Windowing::Quantiles { low, high } => {
                let black = u32::from(accepted.histogram.quantile(low));
                (black, u32::from(accepted.histogram.quantile(high)).max(black + 1))
            }
        };
        let width = u64::from(white - black);
        let level = |value: u32| {
            let above = u64::from(value.clamp(black, white) - black);
            ((above * 65535 + width / 2) / width) as u16
        };
        let inverted = image.photometric() == Photometric::Monochrome1;
        Self((0..=max).map(|value| if inverted { 65535 - level(value) } else { level(value) }).collect())
    }

    pub(super) fn apply(&self, samples: &[u16], levels: &mut Vec<U16>) {
        levels.clear();
        levels.extend(samples.iter().map(|sample| U16::new(self.0[usize::from(*sample)])));
    }

    /// The table in 8 bits, if it has at most 256 entries and loses nothing: the case of files with at most 8
    /// bits and no window.
    pub(super) fn bytes(&self) -> Option<ByteLut> {
        let byte = |level: &u16| level.is_multiple_of(257).then_some((level / 257) as u8);
        (self.0.len() <= 256).then(|| self.0.iter().map(byte).collect::<Option<_>>().map(ByteLut))?
    }

    /// Number of pixels in each of 256 brightness levels.
    pub(super) fn histogram(&self, accepted: &AcceptedImage) -> [u64; 256] {
        let mut levels = [0; 256];
        for (sample, count) in accepted.histogram.iter() {
            levels[usize::from(self.0[usize::from(sample)] >> 8)] += count;
        }
        levels
    }
}

/// Lookup table from stored value to brightness, 0 black to 255 white.
pub(super) struct ByteLut(Vec<u8>);

impl ByteLut {
    /// Brightness of each sample; borrowed if the table is the identity.
    pub(super) fn apply<'a>(&self, samples: &'a [u8]) -> Cow<'a, [u8]> {
        if self.0.iter().copied().eq(0..=255) {
            return samples.into();
        }
        samples.iter().map(|sample| self.0[usize::from(*sample)]).collect()
    }
}
