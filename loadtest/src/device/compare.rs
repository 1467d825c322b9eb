//! What must not change the answer, and by how much it does: the size of the batch, the repetition, the provider.

use super::load::Source;
use anyhow::Result;
use runtime::Session;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Largest relative difference of a logit on a GPU, whose libraries choose an algorithm, and with it an order of sums, by
/// the shape of the batch. A bundle's golden outputs allow as much.
const GPU_TOLERANCE: f64 = 1e-3;
/// The same on a CPU, where only the order of sums between kernels of different builds may differ.
const CPU_TOLERANCE: f64 = 1e-4;

/// Largest difference of logits over several images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Images compared.
    pub images: usize,
    /// `max |a - b|`.
    pub largest: f64,
    /// `max |a - b| / max(|b|, 1)`: what the tolerance is for.
    pub relative: f64,
    /// Images whose logits have other bits.
    pub other_bits: usize,
    /// Largest relative difference that is allowed; none where a difference is expected, as between precisions.
    pub tolerance: Option<f64>,
}

impl Difference {
    fn of(pairs: impl Iterator<Item = (f32, f32)>, tolerance: Option<f64>) -> Self {
        let mut difference = Self { images: 0, largest: 0.0, relative: 0.0, other_bits: 0, tolerance };
        for (found, expected) in pairs {
            let (found, expected, same) =
                (f64::from(found), f64::from(expected), found.to_bits() == expected.to_bits());
            let absolute = (found - expected).abs();
            difference.images += 1;
            difference.largest = larger(difference.largest, absolute);
            difference.relative = larger(difference.relative, absolute / expected.abs().max(1.0));
            difference.other_bits += usize::from(!same);
        }
        difference
    }

    /// Whether it is within the tolerance.
    pub fn is_allowed(&self) -> bool {
        self.tolerance.is_none_or(|tolerance| self.relative <= tolerance)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { images, largest, relative, other_bits, tolerance } = self;
        write!(
            f,
            "largest {largest:.1e} ({relative:.1e} relative) over {images} logits, {other_bits} with other bits"
        )?;
        match tolerance {
            Some(tolerance) => write!(f, ", allowed {tolerance:.0e}"),
            None => write!(f, ", not judged"),
        }
    }
}

/// `f64::max` would drop a NaN, which must fail.
fn larger(so_far: f64, found: f64) -> f64 {
    if found.is_nan() || found > so_far { found } else { so_far }
}

/// Compares, with the tolerance of the provider.
pub(super) struct Judge<'a> {
    pub(super) source: &'a Source,
    pub(super) on_cpu: bool,
}

impl Judge<'_> {
    fn tolerance(&self) -> f64 {
        if self.on_cpu { CPU_TOLERANCE } else { GPU_TOLERANCE }
    }

    /// Each of the first `n` images alone against the same image in batches of every other size.
    pub(super) fn between_batches(
        &self,
        session: &mut Session,
        images: &[u8],
        batches: &[usize],
        n: usize,
    ) -> Result<Difference> {
        let alone_in = batches.iter().copied().min().unwrap_or(1);
        let alone = self.logits(session, images, alone_in, n)?;
        let mut pairs = Vec::new();
        for batch in batches.iter().filter(|batch| **batch != alone_in) {
            pairs.extend(self.logits(session, images, *batch, n)?.into_iter().zip(alone.clone()));
        }
        Ok(Difference::of(pairs.into_iter(), Some(self.tolerance())))
    }

    /// The largest batch twice.
    pub(super) fn between_runs(
        &self,
        session: &mut Session,
        images: &[u8],
        batches: &[usize],
    ) -> Result<Difference> {
        let largest = batches.iter().copied().max().unwrap_or(1);
        let (first, second) = (
            self.logits(session, images, largest, largest)?,
            self.logits(session, images, largest, largest)?,
        );
        Ok(Difference::of(second.into_iter().zip(first), Some(self.tolerance())))
    }

    /// The first `n` images here and in the bundle's fp32 form on the CPU, one at a time there.
    pub(super) fn against_cpu(
        &self,
        session: &mut Session,
        images: &[u8],
        batches: &[usize],
        n: usize,
    ) -> Result<Option<Difference>> {
        let Some(mut reference) = self.source.reference()? else { return Ok(None) };
        let expected = self.logits(&mut reference, images, 1, n)?;
        let batch = batches.iter().copied().min().unwrap_or(1);
        let found = self.logits(session, images, batch, n)?;
        let tolerance = (self.source.precision() == "fp32").then(|| self.tolerance());
        Ok(Some(Difference::of(found.into_iter().zip(expected), tolerance)))
    }

    /// Logits of the first `n` images, run `batch` at a time; the last batch is filled with the images that follow or, at
    /// the end, with the first ones again.
    fn logits(&self, session: &mut Session, images: &[u8], batch: usize, n: usize) -> Result<Vec<f32>> {
        let image_bytes = self.source.image_bytes();
        let mut ring = images.chunks_exact(image_bytes).cycle();
        let mut logits = Vec::new();
        while logits.len() < n {
            let pixels: Vec<u8> = ring.by_ref().take(batch).flatten().copied().collect();
            logits.extend(session.run(&pixels, batch)?.logits);
        }
        logits.truncate(n);
        Ok(logits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_judged_relative_to_the_logit_and_never_below_one() {
        let of = |pairs: &[(f32, f32)]| Difference::of(pairs.iter().copied(), Some(1e-3));
        assert!(of(&[(0.0, 0.0), (5.004, 5.0)]).is_allowed());
        assert!(!of(&[(0.1, 0.1), (0.002, 0.0)]).is_allowed());
        let large = of(&[(10.5, 10.0), (1.0, 1.0)]);
        assert!((large.largest - 0.5).abs() < 1e-6 && (large.relative - 0.05).abs() < 1e-6);
        assert_eq!((large.images, large.other_bits), (2, 1));
        assert!(Difference { tolerance: None, ..large }.is_allowed());
    }

    #[test]
    fn a_logit_that_is_no_number_is_never_allowed() {
        let difference = Difference::of([(f32::NAN, 1.0)].into_iter(), Some(1e-3));
        assert!(!difference.is_allowed());
    }
}
