//! One axis of the triangle filter: which samples make up each output pixel, and with which weights. The weights are
//! those of the crate `fast_image_resize`, which reduces wide samples; a test holds the two against each other.

/// Weights are padded with zeros to a multiple of this, so that a pixel is summed in whole vectors.
pub(super) const LANES: usize = 8;
/// Fixed-point weights fill 31 bits.
const MAX_WEIGHT: f64 = (1u64 << 31) as f64;
/// Most bits after the point: what is left of 64 beside a 16-bit sample and room for rounding.
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

/// The samples from `start` on and their weights.
#[derive(Clone, Copy)]
pub(super) struct Taps<'a> {
    pub(super) start: usize,
    /// Zeros after the last.
    pub(super) padded: &'a [f32],
    pub(super) weights: &'a [f32],
    /// In units of `2^-precision`.
    pub(super) fixed: &'a [i64],
}

impl Axis {
    /// `from` samples become `to` pixels; both above zero.
    pub(super) fn new(from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        // Wider than a sample only where the image shrinks: that is what keeps fine lines from aliasing.
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

    /// Most samples that a pixel is made of.
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

    /// A sum of fixed-point products, rounded to 16 bits.
    pub(super) fn rounded(&self, sum: i64) -> i64 {
        ((sum + (1 << (self.precision - 1))) >> self.precision).clamp(0, 65535)
    }
}

/// As many bits after the point as leave the largest weight below 2^31.
fn precision(weights: &[f64]) -> u32 {
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let fits = |bits: &u32| (largest * (1u64 << (bits + 1)) as f64).round() < MAX_WEIGHT;
    (0..MAX_PRECISION).take_while(fits).count() as u32
}
