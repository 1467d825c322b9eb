//! Samples to display values: one table from stored value to 16-bit brightness.

use crate::image::{Photometric, Windowing};
use crate::validate::AcceptedImage;
use fast_image_resize::pixels::U16;

/// Stored value to brightness, 0 black to 65535 white.
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

    pub(super) fn apply(&self, samples: &[u16]) -> Vec<U16> {
        samples.iter().map(|sample| U16::new(self.0[usize::from(*sample)])).collect()
    }

    /// How many pixels show each of 256 brightness levels.
    pub(super) fn histogram(&self, accepted: &AcceptedImage) -> [u64; 256] {
        let mut levels = [0; 256];
        for (sample, count) in accepted.histogram.iter() {
            levels[usize::from(self.0[usize::from(sample)] >> 8)] += count;
        }
        levels
    }
}
