//! 8-bit numbers: `x = scale * (q - zero)`. Activations are unsigned with one scale per tensor, weights
//! signed with one per filter.

const LAST: f32 = 255.0;
/// Percentages of a filter's largest weight that are tried as its range.
const WEIGHT_SHARES: std::ops::RangeInclusive<u32> = 60..=100;

/// Scale and zero point of an unsigned 8-bit tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    pub scale: f32,
    /// The 8-bit value of 0.0.
    pub zero: u8,
}

impl Affine {
    /// Covers `[low, high]` and represents 0 exactly, which padding and ReLU need.
    pub fn covering(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let length = high - low;
        // Any scale fits a tensor of zeros.
        let scale = if length > f32::MIN_POSITIVE * LAST { length / LAST } else { 1.0 / LAST };
        Self { scale, zero: (-low / scale).round().clamp(0.0, LAST) as u8 }
    }

    /// Rounds half to even, as ONNX does.
    pub fn quantise(self, value: f32) -> u8 {
        ((value / self.scale).round_ties_even() + f32::from(self.zero)).clamp(0.0, LAST) as u8
    }

    pub fn dequantise(self, value: u8) -> f32 {
        (f32::from(value) - f32::from(self.zero)) * self.scale
    }
}

/// Largest value of the symmetric range of `bits` bits.
pub fn largest_weight(bits: u32) -> i32 {
    (1 << (bits - 1)) - 1
}

/// Scale and values of a filter in `bits` bits, with the least squared error among the scales tried.
pub fn quantise_filter(weights: &[f32], bits: u32) -> (f32, Vec<i8>) {
    let last = largest_weight(bits) as f32;
    let largest = weights.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
    if largest <= f32::MIN_POSITIVE * last {
        return (1.0 / last, vec![0; weights.len()]);
    }
    let rounded = |weight: f32, scale: f32| (weight / scale).round_ties_even().clamp(-last, last);
    let error = |scale: f32| -> f64 {
        weights.iter().map(|weight| f64::from(weight - rounded(*weight, scale) * scale).powi(2)).sum()
    };
    let scales = WEIGHT_SHARES.rev().map(|percent| largest * percent as f32 / 100.0 / last);
    let best = scales.map(|scale| (error(scale), scale)).min_by(|(a, _), (b, _)| a.total_cmp(b));
    let scale = best.map_or(largest / last, |(_, scale)| scale);
    (scale, weights.iter().map(|weight| rounded(*weight, scale) as i8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_half_a_step_at_most_and_zero_is_exact() {
        for (low, high) in [(0.0, 6.0), (-1.0, 3.0), (-8.0, 0.0), (-0.001, 1000.0), (0.5, 2.0)] {
            let affine = Affine::covering(low, high);
            assert!(affine.dequantise(affine.quantise(0.0)).abs() <= 0.0, "{affine:?}");
            for i in 0..=1000u16 {
                let value = low + (high - low) * f32::from(i) / 1000.0;
                let error = (affine.dequantise(affine.quantise(value)) - value).abs();
                // The zero point is rounded, so the ends can be half a step further out.
                let allowed = if value <= low || value >= high { 1.01 } else { 0.501 };
                let at_an_end = (value - low).min(high - value) < affine.scale / 2.0;
                assert!(
                    error <= affine.scale * if at_an_end { 1.01 } else { allowed },
                    "{value} of [{low}, {high}] is off by {error}, a step is {}",
                    affine.scale
                );
            }
            assert_eq!((affine.quantise(high * 2.0 + 1.0), affine.quantise(low * 2.0 - 1.0)), (255, 0));
        }
        assert!(Affine::covering(0.0, 0.0).scale > 0.0);
    }

    #[test]
    fn quantised_weights_fit_their_bits_and_are_near() {
        for bits in [7, 8] {
            let weights: Vec<f32> = (-50i16..=50).map(|i| f32::from(i) * 0.013).collect();
            let (scale, values) = quantise_filter(&weights, bits);
            let last = largest_weight(bits);
            for (weight, value) in weights.iter().zip(&values) {
                assert!(i32::from(*value).abs() <= last);
                let error = (f32::from(*value) * scale - weight).abs();
                assert!(error <= scale * 0.501 || i32::from(*value).abs() == last, "{weight}: {error}");
            }
            let (_, single) = quantise_filter(&[-0.37], bits);
            assert_eq!(i32::from(single[0]), -last, "a single weight is exact");
        }
        assert_eq!(quantise_filter(&[0.0, 0.0], 7).1, [0, 0]);
    }
}
