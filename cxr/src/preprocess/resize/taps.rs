//! One axis of the triangle filter: the samples and weights of each output pixel. The weights are those of
//! the crate `fast_image_resize`, which resizes 16-bit samples; a test compares the two.

/// Weights are zero-padded to a multiple of this, so that a pixel is summed in whole vectors.
pub(super) const LANES: usize = 8;
/// Fixed-point weights fill 31 bits.
const MAX_WEIGHT: f64 = (1u64 << 31) as f64;
/// Most fractional bits: what 64 bits leave beside a 16-bit sample and room for rounding.
const MAX_PRECISION: u32 = 45;

/// The weights of every output pixel along one axis.
#[derive(Debug, Default)]
pub(super) struct Axis {
    starts: Vec<usize>,
    counts: Vec<usize>,
    padded: usize,
    weights: Vec<f32>,
    fixed: Vec<i64>,
    precision: u32,
}

/// A range of samples from `start` on and their weights.
#[derive(Clone, Copy)]
pub(super) struct Taps<'a> {
    pub(super) start: usize,
    /// Zero-padded weights.
    pub(super) padded: &'a [f32],
    pub(super) weights: &'a [f32],
    /// In units of `2^-precision`.
    pub(super) fixed: &'a [i64],
}

impl Axis {
    /// Weights to resize `from` samples to `to` pixels; both above zero.
    pub(super) fn new(from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        // Wider than a sample only if the image shrinks: that prevents aliasing.
        let radius = scale.max(1.0);
        let padded = (radius.ceil() as usize * 2 + 1).next_multiple_of(LANES);
        let mut axis = Self { padded, ..Self::default() };
        let mut exact = Vec::with_capacity(to * padded);
        for pixel in 0..to {
            let centre = (pixel as f64 + 0.5) * scale;
            let first = (centre - radius).floor().max(0.0) as usize;
            let end = (centre + radius).ceil().min(from as f64) as usize;
            let weight =
                |sample: usize| (1.0 - ((sample as f64 - (centre - 0.5)) * (1.0 / radius)).abs()).max(0.0);
            let is_used = |sample: &usize| weight(*sample) > 0.0;
            let start = (first..end).find(is_used).unwrap_or(first);
            let count = (start..end).rfind(is_used).map_or(0, |last| last + 1 - start);
            let sum: f64 = (start..start + count).map(weight).sum();
            exact.extend((start..start + count).map(|sample| weight(sample) / sum));
            exact.resize((pixel + 1) * padded, 0.0);
            axis.starts.push(start);
            axis.counts.push(count);
        }
        axis.weights = exact.iter().map(|weight| *weight as f32).collect();
        axis.precision = precision(&exact);
        let one = (1u64 << axis.precision) as f64;
        axis.fixed = exact.iter().map(|weight| (weight * one).round() as i64).collect();
        axis
    }

    pub(super) const fn len(&self) -> usize {
        self.starts.len()
    }

    /// Length of the padded weights of a pixel.
    pub(super) const fn padded(&self) -> usize {
        self.padded
    }

    pub(super) fn taps(&self, pixel: usize) -> Taps<'_> {
        let (from, count) = (pixel * self.padded, self.counts[pixel]);
        Taps {
            start: self.starts[pixel],
            padded: &self.weights[from..from + self.padded],
            weights: &self.weights[from..from + count],
            fixed: &self.fixed[from..from + count],
        }
    }

    /// Rounds a sum of fixed-point products to 16 bits.
    pub(super) fn rounded(&self, sum: i64) -> i64 {
        ((sum + (1 << (self.precision - 1))) >> self.precision).clamp(0, 65535)
    }
}

/// The most fractional bits that keep the largest weight below 2^31.
fn precision(weights: &[f64]) -> u32 {
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let fits = |bits: &u32| (largest * (1u64 << (bits + 1)) as f64).round() < MAX_WEIGHT;
    (0..MAX_PRECISION).take_while(fits).count() as u32
}
