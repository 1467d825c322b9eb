//! Learning rate and averaging as functions of the step.

use std::f64::consts::PI;

/// Start and end of the rate, as shares of the peak.
const START: f64 = 1.0 / 25.0;
const END: f64 = 1e-4;

/// One-cycle schedule (Smith 2018): a cosine up to `peak` over `warmup_fraction` of the steps, then down.
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

/// Decay of the averaged weights. It starts small, so that the average drops the initial weights quickly.
pub fn average_decay(step: usize, decay: f64) -> f64 {
    decay.min((1.0 + step as f64) / (10.0 + step as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_to_its_peak_and_falls_to_almost_zero() {
        let rates: Vec<f64> = (0..1000).map(|step| learning_rate(step, 1000, 3e-4, 0.15)).collect();
        assert!((rates[0] - 3e-4 / 25.0).abs() < 1e-12);
        assert!((rates[149] - 3e-4).abs() < 1e-12);
        assert!((rates[999] - 3e-8).abs() < 1e-12);
        assert!(rates[..150].is_sorted() && rates[149..].is_sorted_by(|a, b| a >= b));
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
    fn the_average_starts_with_a_small_decay() {
        assert!((average_decay(0, 0.995) - 0.1).abs() < 1e-12);
        assert!((average_decay(100_000, 0.995) - 0.995).abs() < 1e-12);
    }
}
