//! Histograms with fixed edges: any two of one quantity add up exactly, in any order.

use crate::codec::{DecodeError, Reader, Writer};
use crate::quantity::Quantity;

pub const N_BINS: usize = 64;

/// How values map to bins. The first and last bin also hold what lies outside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    /// Bins of equal width in the square root: finer near zero.
    is_root: bool,
}

impl Scale {
    /// Part of the format of stored windows: a change would mix bins of different meaning.
    pub fn of(quantity: Quantity) -> Self {
        let linear = |low, high| Self { low, high, is_root: false };
        let root = |high| Self { low: 0.0, high, is_root: true };
        match quantity {
            Quantity::Probability => linear(0.0, 1.0),
            Quantity::Ood => root(64.0),
            Quantity::Coordinate(_) => linear(-8.0, 8.0),
            Quantity::Input(_) => match quantity.name().as_str() {
                "standard_deviation" => linear(0.0, 0.5),
                "entropy_bits" => linear(0.0, 8.0),
                "pattern_entropy_bits" | "aspect_ratio" => linear(0.0, 4.0),
                "megapixels" => root(64.0),
                "black_fraction" | "white_fraction" | "edge_strength" | "border" | "letters"
                | "blockiness" => root(1.0),
                "gradient_energy" | "laplacian_variance" => root(4.0),
                _ => linear(0.0, 1.0),
            },
        }
    }

    fn bin(self, value: f64) -> usize {
        let value = if self.is_root { value.max(0.0).sqrt() } else { value };
        let (low, high) = if self.is_root { (0.0, self.high.sqrt()) } else { (self.low, self.high) };
        // A cast saturates: negative to 0.
        ((((value - low) / (high - low)) * N_BINS as f64) as usize).min(N_BINS - 1)
    }

    /// Lower edge of a bin.
    pub fn edge(self, bin: usize) -> f64 {
        let share = bin as f64 / N_BINS as f64;
        if self.is_root { self.high * share * share } else { self.low + (self.high - self.low) * share }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; N_BINS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; N_BINS] }
    }
}

impl Histogram {
    pub const fn counts(&self) -> &[u64; N_BINS] {
        &self.counts
    }

    pub fn n(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Adds a value that is not NaN.
    pub(crate) fn add(&mut self, scale: Scale, value: f64) {
        let count = &mut self.counts[scale.bin(value)];
        *count = count.saturating_add(1);
    }

    pub fn merge(&mut self, other: &Self) {
        for (count, added) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(added);
        }
    }

    /// Runs of empty bins take one byte.
    pub(crate) fn encode(&self, writer: &mut Writer) {
        let mut n_empty = 0;
        for count in self.counts {
            if count == 0 {
                n_empty += 1;
            } else {
                writer.n(n_empty);
                writer.n(count);
                n_empty = 0;
            }
        }
        if n_empty > 0 {
            writer.n(n_empty);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut histogram = Self::default();
        let mut bin = 0;
        while bin < N_BINS {
            bin += reader.n((N_BINS - bin) as u64, "a run of empty bins")? as usize;
            if let Some(count) = histogram.counts.get_mut(bin) {
                *count = reader.n(u64::MAX, "a count")?;
                bin += 1;
            }
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_bin_between_its_edges() {
        for quantity in Quantity::all() {
            let scale = Scale::of(quantity);
            for bin in 0..N_BINS {
                let middle = f64::midpoint(scale.edge(bin), scale.edge(bin + 1));
                assert_eq!(scale.bin(middle), bin, "{quantity:?}");
            }
            for (value, bin) in [(f64::MAX, N_BINS - 1), (f64::INFINITY, N_BINS - 1), (f64::MIN, 0)] {
                assert_eq!(scale.bin(value), bin, "{quantity:?} {value}");
            }
        }
    }
}
