//! 8-bit data upscaled to 16 bits: files whose 16-bit samples hold only 256 grey levels. Such an image was
//! windowed when it had 8 bits, so it is read as that 8-bit file and not windowed a second time
//! (docs/decisions/0002-bits-of-deep-files.md).

use super::POLL_PIXELS;
use crate::cancel::{Cancel, Cancelled};
use crate::image::{DecodedImage, Samples, Windowing};
use std::sync::LazyLock;

/// Samples examined between two polls for cancellation.
const STEP: usize = 1 << 16;

/// A mapping from 256 levels to 16-bit samples: the sample of each level, ascending.
type Upscaling = [u16; 256];

/// The mappings in use. If an image fits several, the first one counts: it has the widest range, so that a
/// dark image stays dark.
static UPSCALINGS: LazyLock<Vec<Upscaling>> = LazyLock::new(|| {
    let upscaling = |sample: &dyn Fn(u32) -> u32| -> Upscaling {
        std::array::from_fn(|level| sample(level as u32) as u16)
    };
    // Stretched to the full range of `bits`: rounded, truncated, or with the high bits repeated below.
    let stretched = |bits: u32, shift: u32| {
        let max = (1_u32 << bits) - 1;
        [
            upscaling(&|level| ((level * max + 127) / 255) << shift),
            upscaling(&|level| (level * max / 255) << shift),
            upscaling(&|level| (level << (bits - 8) | level >> (16 - bits)) << shift),
        ]
    };
    // Aligned to the top of 16 bits, as detectors of 14, 12 or 10 bits write, or to the bottom.
    let on_top = [16, 14, 12, 10].into_iter().flat_map(|bits| stretched(bits, 16 - bits));
    let at_the_bottom = [14, 12, 10].into_iter().flat_map(|bits| stretched(bits, 0));
    let shifted = [8, 6, 4, 2, 0].map(|shift| upscaling(&|level| level << shift));
    let [to_16_bits, others @ ..] = shifted;
    on_top.chain([to_16_bits]).chain(at_the_bottom).chain(others).collect()
});

/// For each sample, a bit for each mapping that contains it.
static FITS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let mut fits = vec![0; 1 << 16];
    for (number, upscaling) in UPSCALINGS.iter().enumerate() {
        for sample in upscaling {
            fits[usize::from(*sample)] |= 1 << number;
        }
    }
    fits
});

/// The mappings that fit all samples seen so far. Real 16-bit data rule out all of them within a few thousand
/// samples.
pub(super) struct UpscalingSearch {
    candidates: u32,
}

impl UpscalingSearch {
    pub(super) fn new() -> Self {
        Self { candidates: u32::MAX >> (32 - UPSCALINGS.len()) }
    }

    pub(super) fn observe(&mut self, samples: impl IntoIterator<Item = u16>) {
        if self.candidates != 0 {
            for sample in samples {
                self.candidates &= FITS[usize::from(sample)];
            }
        }
    }

    /// The levels by the first mapping that fits; `None` if the data use more than 256 levels.
    pub(super) fn levels(&self) -> Option<Levels> {
        let upscaling = UPSCALINGS.get(self.candidates.trailing_zeros() as usize)?;
        let mut level_of = vec![0; 1 << 16];
        for (level, sample) in (0..=255).zip(upscaling) {
            level_of[usize::from(*sample)] = level;
        }
        Some(Levels { level_of })
    }
}

/// Maps 16-bit samples back to 256 levels.
pub(super) struct Levels {
    level_of: Vec<u8>,
}

impl Levels {
    /// Finds the mapping that fits all samples; `None` if the data use more than 256 levels.
    pub(super) fn of(
        samples: impl IntoIterator<Item = u16>,
        cancel: Cancel<'_>,
    ) -> Result<Option<Self>, Cancelled> {
        let mut search = UpscalingSearch::new();
        let mut samples = samples.into_iter();
        while search.candidates != 0 {
            cancel.check()?;
            let mut n = 0;
            search.observe(samples.by_ref().take(STEP).inspect(|_| n += 1));
            if n < STEP {
                break;
            }
        }
        Ok(search.levels())
    }

    pub(super) fn level(&self, sample: u16) -> u8 {
        self.level_of[usize::from(sample)]
    }

    /// The level of each sample.
    pub(super) fn read(
        &self,
        samples: impl IntoIterator<Item = u16>,
        cancel: Cancel<'_>,
    ) -> Result<Vec<u8>, Cancelled> {
        let mut samples = samples.into_iter();
        let mut levels = Vec::with_capacity(samples.size_hint().0);
        loop {
            cancel.check()?;
            let before = levels.len();
            levels.extend(samples.by_ref().take(POLL_PIXELS).map(|sample| self.level(sample)));
            if levels.len() - before < POLL_PIXELS {
                return Ok(levels);
            }
        }
    }
}

/// Replaces 16-bit samples that hold only 256 levels by 8-bit samples.
pub(super) fn undo(image: DecodedImage, cancel: Cancel<'_>) -> Result<DecodedImage, Cancelled> {
    let (Samples::Wide(samples), Windowing::Quantiles { .. }) = (&image.samples, image.windowing) else {
        return Ok(image);
    };
    let Some(levels) = Levels::of(samples.iter().copied(), cancel)? else { return Ok(image) };
    let samples = Samples::Narrow(levels.read(samples.iter().copied(), cancel)?);
    Ok(DecodedImage { samples, significant_bits: 8, windowing: Windowing::FullRange, ..image })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    fn random_levels(seed: u64, from: u8, to: u8) -> Vec<u8> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        (0..20_000).map(|_| rng.random_range(from..=to)).collect()
    }

    fn back(samples: &[u16]) -> Option<Vec<u8>> {
        let levels = Levels::of(samples.iter().copied(), Cancel::NEVER).unwrap()?;
        Some(levels.read(samples.iter().copied(), Cancel::NEVER).unwrap())
    }

    #[test]
    fn every_form_gives_the_levels_that_it_was_made_of() {
        for (number, upscaling) in UPSCALINGS.iter().enumerate() {
            assert!(upscaling.is_sorted() && upscaling[0] == 0, "upscaling {number}");
            for (seed, (from, to)) in (0..).zip([(0, 255), (0, 90), (37, 255), (100, 180)]) {
                let levels = random_levels(seed, from, to);
                let deep: Vec<u16> = levels.iter().map(|level| upscaling[usize::from(*level)]).collect();
                assert_eq!(back(&deep).as_ref(), Some(&levels), "upscaling {number}, levels {from} to {to}");
            }
        }
    }

    #[test]
    fn data_as_deep_as_its_file_is_left_alone() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for bits in 9..=16 {
            let mut samples: Vec<u16> =
                (0..20_000).map(|_| rng.random_range(0..=(((1_u32 << bits) - 1) as u16))).collect();
            assert_eq!(back(&samples), None, "{bits} bits");
            // Aligned to the top of the container, as detectors do.
            for sample in &mut samples {
                *sample <<= 16 - bits;
            }
            assert_eq!(back(&samples), None, "{bits} bits, shifted");
        }
        // A single sample between the levels, at the very end, is enough.
        let mut nearly: Vec<u16> =
            random_levels(2, 0, 255).iter().map(|level| u16::from(*level) * 257).collect();
        nearly.push(1000);
        assert_eq!(back(&nearly), None);
    }
}
