//! Schedules: learning rate, frozen stages and averaging as pure functions of the step.

use crate::config::Training;
use crate::model::N_STAGES;
use std::f64::consts::PI;

/// The rate starts at this share of the peak.
const START: f64 = 1.0 / 25.0;
/// And ends at this one.
const END: f64 = 1e-4;

/// What each step of a whole training does. First the classifier alone may be trained on a frozen backbone, then
/// everything that is not frozen for good (LP-FT, Kumar et al. 2022); each phase has a cycle of its own.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    n_steps: usize,
    n_head_steps: usize,
    freeze_depth: usize,
    peak: f64,
    warmup_fraction: f64,
}

impl Schedule {
    /// The schedule of epochs of `n_batches` steps.
    pub fn new(training: &Training, n_batches: usize) -> Self {
        Self {
            n_steps: training.epochs * n_batches,
            n_head_steps: training.head_first_epochs * n_batches,
            freeze_depth: training.freeze_depth,
            peak: training.learning_rate,
            warmup_fraction: training.warmup_fraction,
        }
    }

    /// The learning rate of the classifier.
    pub fn learning_rate(&self, step: usize) -> f64 {
        let (step, n_steps) = match step.checked_sub(self.n_head_steps) {
            None => (step, self.n_head_steps),
            Some(step) => (step, self.n_steps - self.n_head_steps),
        };
        learning_rate(step, n_steps, self.peak, self.warmup_fraction)
    }

    /// Leading stages of the backbone that this step leaves as they are.
    pub const fn n_frozen(&self, step: usize) -> usize {
        if step < self.n_head_steps { N_STAGES } else { self.freeze_depth }
    }
}

/// One cycle (Smith 2018): a cosine up to `peak` over `warmup_fraction` of the steps, a cosine down over the rest.
pub fn learning_rate(step: usize, n_steps: usize, peak: f64, warmup_fraction: f64) -> f64 {
    let last = n_steps.saturating_sub(1).max(1) as f64;
    let top = (warmup_fraction * n_steps as f64 - 1.0).max(0.0);
    let step = (step as f64).min(last);
    let between = |from: f64, to: f64, share: f64| from + (to - from) * (1.0 - (PI * share).cos()) / 2.0;
    if step < top {
        peak * between(START, 1.0, step / top)
    } else {
        peak * between(1.0, END, (step - top) / (last - top).max(1.0))
    }
}

/// Decay of the averaged weights at a step: small at first, so that the average forgets where training began.
pub fn average_decay(step: usize, decay: f64) -> f64 {
    decay.min((1.0 + step as f64) / (10.0 + step as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_climbs_to_its_peak_and_falls_to_almost_nothing() {
        let rates: Vec<f64> = (0..1000).map(|step| learning_rate(step, 1000, 3e-4, 0.15)).collect();
        assert!((rates[0] - 3e-4 / 25.0).abs() < 1e-12);
        assert!((rates[149] - 3e-4).abs() < 1e-12);
        assert!((rates[999] - 3e-8).abs() < 1e-12);
        assert!(rates[..150].is_sorted() && rates[149..].is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn the_backbone_thaws_after_the_head_and_begins_with_a_small_rate() {
        let schedule =
            Schedule { n_steps: 300, n_head_steps: 100, freeze_depth: 2, peak: 1.0, warmup_fraction: 0.15 };
        assert_eq!([0, 99, 100, 299].map(|step| schedule.n_frozen(step)), [N_STAGES, N_STAGES, 2, 2]);
        assert!(schedule.learning_rate(99) < 1e-3 && schedule.learning_rate(100) < 0.05);
        assert!((schedule.learning_rate(100) - learning_rate(0, 200, 1.0, 0.15)).abs() < 1e-12);
    }

    #[test]
    fn degenerate_lengths_stay_finite() {
        for n_steps in 0..4 {
            for step in 0..5 {
                assert!(learning_rate(step, n_steps, 1.0, 0.5).is_finite());
            }
        }
    }

    #[test]
    fn the_average_follows_closely_at_first() {
        assert!((average_decay(0, 0.995) - 0.1).abs() < 1e-12);
        assert!((average_decay(100_000, 0.995) - 0.995).abs() < 1e-12);
    }
}
