//! Differences of logits between batch sizes, repetitions and providers.

use super::load::Source;
use anyhow::Result;
use runtime::Session;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Tolerance on a GPU, where the order of sums depends on the batch size; equal to the golden outputs'.
const GPU_TOLERANCE: f64 = 1e-3;
/// Tolerance on a CPU, where only the order of sums may differ between kernels.
const CPU_TOLERANCE: f64 = 1e-4;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    pub images: usize,
    /// `max |a - b|`.
    pub largest: f64,
    /// `max |a - b| / max(|b|, 1)`, which the tolerance bounds.
    pub relative: f64,
    /// Images whose logits differ in any bit.
    pub other_bits: usize,
    /// The tolerance; `None` if a difference is expected, as between precisions.
    pub tolerance: Option<f64>,
}

impl Difference {
    fn of(pairs: impl Iterator<Item = (f32, f32)>, tolerance: Option<f64>) -> Self {
        let mut difference = Self { images: 0, largest: 0.0, relative: 0.0, other_bits: 0, tolerance };
        for (found, expected) in pairs {
            let absolute = (f64::from(found) - f64::from(expected)).abs();
            difference.images += 1;
            difference.largest = larger(difference.largest, absolute);
            difference.relative = larger(difference.relative, absolute / f64::from(expected).abs().max(1.0));
            difference.other_bits += usize::from(found.to_bits() != expected.to_bits());
        }
        difference
    }

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
            None => write!(f, ", no tolerance"),
        }
    }
}

/// `f64::max` would drop a NaN, which must fail.
fn larger(so_far: f64, found: f64) -> f64 {
    if found.is_nan() || found > so_far { found } else { so_far }
}

/// Compares logits, with the tolerance of the provider.
pub(super) struct Judge<'a> {
    pub(super) source: &'a Source,
    pub(super) on_cpu: bool,
}

impl Judge<'_> {
    fn tolerance(&self) -> f64 {
        if self.on_cpu { CPU_TOLERANCE } else { GPU_TOLERANCE }
    }

    /// Compares each of the first `n` images alone and in batches of all other sizes.
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

    pub(super) fn between_runs(
        &self,
        session: &mut Session,
        images: &[u8],
        batches: &[usize],
    ) -> Result<Difference> {
        let largest = batches.iter().copied().max().unwrap_or(1);
        let first = self.logits(session, images, largest, largest)?;
        let second = self.logits(session, images, largest, largest)?;
        Ok(Difference::of(second.into_iter().zip(first), Some(self.tolerance())))
    }

    /// Compares the first `n` images with the bundle's fp32 variant on the CPU, run one by one.
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

    /// Logits of the first `n` images in batches of `batch`; the last batch is filled up with other images.
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
    fn a_difference_is_relative_to_the_logit_but_at_least_to_one() {
        let of = |pairs: &[(f32, f32)]| Difference::of(pairs.iter().copied(), Some(1e-3));
        assert!(of(&[(0.0, 0.0), (5.004, 5.0)]).is_allowed());
        assert!(!of(&[(0.1, 0.1), (0.002, 0.0)]).is_allowed());
        let large = of(&[(10.5, 10.0), (1.0, 1.0)]);
        assert!((large.largest - 0.5).abs() < 1e-6 && (large.relative - 0.05).abs() < 1e-6);
        assert_eq!((large.images, large.other_bits), (2, 1));
        assert!(Difference { tolerance: None, ..large }.is_allowed());
    }

    #[test]
    fn a_nan_exceeds_every_tolerance() {
        let difference = Difference::of([(f32::NAN, 1.0)].into_iter(), Some(1e-3));
        assert!(!difference.is_allowed());
    }
}
