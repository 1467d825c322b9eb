//! Histogram of a tensor, and the 8-bit range with the least squared error.

use super::scale::Affine;

/// Percentages of the observed range that are tried.
const SHARES: std::ops::RangeInclusive<u32> = 30..=100;
const HALF_BINS: usize = 2048;

/// Counts over `[-limit, limit]`; the limit doubles when a value exceeds it.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    limit: f32,
    counts: Vec<u64>,
    low: f32,
    high: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { limit: 0.0, counts: vec![0; 2 * HALF_BINS], low: f32::INFINITY, high: f32::NEG_INFINITY }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, values: &[f32]) {
        let (mut low, mut high) = (self.low, self.high);
        for value in values {
            low = low.min(*value);
            high = high.max(*value);
        }
        (self.low, self.high) = (low, high);
        let largest = low.abs().max(high.abs()).max(f32::MIN_POSITIVE);
        if self.limit <= 0.0 {
            self.limit = largest;
        }
        while self.limit < largest {
            self.double();
        }
        let per_unit = HALF_BINS as f32 / self.limit;
        for value in values {
            let bin = (value * per_unit + HALF_BINS as f32).clamp(0.0, (2 * HALF_BINS - 1) as f32) as usize;
            self.counts[bin] += 1;
        }
    }

    fn double(&mut self) {
        self.limit *= 2.0;
        let mut counts = vec![0; 2 * HALF_BINS];
        for (bin, pair) in self.counts.as_chunks::<2>().0.iter().enumerate() {
            counts[HALF_BINS / 2 + bin] = pair[0] + pair[1];
        }
        self.counts = counts;
    }

    /// Smallest and largest value.
    pub(super) const fn range(&self) -> (f32, f32) {
        (self.low, self.high)
    }

    /// Sum of the squared quantisation errors, with each value at the middle of its bin.
    pub(super) fn squared_error(&self, affine: Affine) -> f64 {
        let width = self.limit / HALF_BINS as f32;
        let of_bin = |(bin, count): (usize, &u64)| {
            let middle = (bin as f32 + 0.5 - HALF_BINS as f32) * width;
            // Most values of a rectified tensor are exactly 0.
            let value = if bin == HALF_BINS && self.low >= 0.0 { 0.0 } else { middle };
            f64::from(affine.dequantise(affine.quantise(value)) - value).powi(2) * *count as f64
        };
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(of_bin).sum()
    }

    /// The range with the least squared error: clipping a few outliers leaves more resolution to the others.
    pub(super) fn affine_of_least_error(&self) -> Affine {
        let (low, high) = self.range();
        let scales = SHARES.rev().map(|percent| {
            let share = percent as f32 / 100.0;
            Affine::covering(low * share, high * share)
        });
        let errors = scales.map(|affine| (self.squared_error(affine), affine));
        let best = errors.min_by(|(a, _), (b, _)| a.total_cmp(b));
        best.map_or(Affine::covering(low, high), |(_, affine)| affine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_are_clipped() {
        let mut histogram = Histogram::default();
        let many: Vec<f32> = (0..100_000u32).map(|i| (i % 1000) as f32 / 1000.0).collect();
        // A million values below 1 and one of 50: the least squared error is near a range of 22.
        for _ in 0..10 {
            histogram.add(&many);
        }
        histogram.add(&[50.0]);
        let affine = histogram.affine_of_least_error();
        assert!(affine.scale * 255.0 < 30.0, "{affine:?}");
    }
}
