//! Histogram of the samples, from which acceptance, window and statistics are computed.

use crate::image::{DecodedImage, Samples};

/// Byte samples are counted in this many tables in turn. Equal neighbours, as in a radiograph's black border,
/// would otherwise each wait until the previous count is stored.
const N_TABLES: usize = 8;

/// A histogram with `2^significant_bits` bins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SampleHistogram {
    counts: Vec<u64>,
    total: u64,
}

impl SampleHistogram {
    pub(crate) fn of(image: &DecodedImage) -> Self {
        let n_bins = usize::from(image.max_value()) + 1;
        let counts = match &image.samples {
            Samples::Narrow(samples) => count_bytes(samples)[..n_bins].to_vec(),
            Samples::Wide(samples) => count(samples, n_bins),
        };
        Self { counts, total: image.samples.len() as u64 }
    }

    /// Smallest sample with at least a share `q` of the pixels at or below it.
    pub(crate) fn quantile(&self, q: f64) -> u16 {
        let rank = (q * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        reached.unwrap_or(self.counts.len() - 1) as u16
    }

    /// Values and counts of the bins that are not empty.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(value, count)| (value as u16, *count))
    }
}

fn count(samples: &[u16], n_bins: usize) -> Vec<u64> {
    let mut counts = vec![0; n_bins];
    for sample in samples {
        counts[usize::from(*sample)] += 1;
    }
    counts
}

pub(crate) fn count_bytes(samples: &[u8]) -> [u64; 256] {
    let mut tables = [[0u32; 256]; N_TABLES];
    let (groups, rest) = samples.as_chunks::<N_TABLES>();
    for group in groups {
        for (table, sample) in tables.iter_mut().zip(group) {
            // The samples per table fit into 32 bits for any image that fits into memory.
            table[usize::from(*sample)] = table[usize::from(*sample)].wrapping_add(1);
        }
    }
    let mut counts = [0; 256];
    for (bin, count) in counts.iter_mut().enumerate() {
        *count = tables.iter().map(|table| u64::from(table[bin])).sum();
    }
    for sample in rest {
        counts[usize::from(*sample)] += 1;
    }
    counts
}
