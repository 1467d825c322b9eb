//! The traffic in a window and its measurement.

use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Traffic {
    Closed { clients: usize },
    Open { rate: f64, seed: u64 },
}

/// A warm-up and the measured time after it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// Seconds of load before the measurement.
    pub(crate) warm_s: f64,
    pub(crate) seconds: f64,
}

impl Window {
    pub(crate) fn warm(&self) -> Duration {
        Duration::from_secs_f64(self.warm_s)
    }

    pub(crate) fn whole(&self) -> Duration {
        Duration::from_secs_f64(self.warm_s + self.seconds)
    }
}

/// Arrival times of a Poisson process from the start to the end of the window.
pub(crate) fn arrivals(rate: f64, seed: u64, window: Window) -> Vec<Duration> {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut at_s = 0.0;
    std::iter::from_fn(|| {
        // Exponential gaps by inversion; 1 - u is never 0.
        at_s -= (1.0 - rng.random::<f64>()).ln() / rate;
        Some(Duration::from_secs_f64(at_s))
    })
    .take_while(|at| *at < window.whole())
    .collect()
}

/// Processor seconds spent inside the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cpu {
    pub(crate) generator: f64,
    pub(crate) postgres: f64,
    pub(crate) contestant: f64,
    pub(crate) host: f64,
}

impl Cpu {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            generator: self.generator - before.generator,
            postgres: self.postgres - before.postgres,
            contestant: self.contestant - before.contestant,
            host: self.host - before.host,
        }
    }

    /// Time of the host that none of the three used.
    pub(crate) fn elsewhere(self) -> f64 {
        (self.host - self.generator - self.postgres - self.contestant).max(0.0)
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Measurement {
    pub(crate) seconds: f64,
    /// Latencies of good answers in microseconds, in order of arrival.
    pub(crate) latencies_us: Vec<u64>,
    /// Answers 429 and 503.
    pub(crate) refused: u64,
    /// Other answers, broken connections, missing answers.
    pub(crate) failed: u64,
    pub(crate) cpu: Cpu,
    /// Resident memory of the contestant at the end, in bytes.
    pub(crate) resident_bytes: u64,
}

impl Measurement {
    pub(crate) fn new(seconds: f64) -> Self {
        Self { seconds, ..Self::default() }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.latencies_us.push(latency.as_micros() as u64);
    }
    pub(crate) fn rps(&self) -> f64 {
        self.latencies_us.len() as f64 / self.seconds
    }
    /// A percentile of the latency in milliseconds, by nearest rank; NaN without answers.
    pub(crate) fn percentile_ms(&self, percentile: f64) -> f64 {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        let rank = (percentile / 100.0 * sorted.len() as f64).ceil().max(1.0) as usize;
        sorted.get(rank - 1).map_or(f64::NAN, |us| *us as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_use_the_nearest_rank() {
        let mut found = Measurement::new(2.0);
        assert!(found.percentile_ms(50.0).is_nan());
        (1..=200).rev().for_each(|ms| found.record(Duration::from_millis(ms)));
        let ms = [0.0, 50.0, 99.0, 100.0].map(|percentile| found.percentile_ms(percentile).round() as u64);
        assert_eq!(ms, [1, 100, 198, 200]);
        assert!((found.rps() - 100.0).abs() < 1e-9);
    }

    #[test]
    fn arrivals_have_the_rate_and_depend_on_the_seed() {
        let window = Window { warm_s: 0.0, seconds: 100.0 };
        let found = arrivals(50.0, 3, window);
        // The mean is 5,000 and the standard deviation 71.
        assert!((4700..5300).contains(&found.len()), "{}", found.len());
        assert!(found.is_sorted() && found.last().is_some_and(|last| *last < window.whole()));
        assert_eq!(found, arrivals(50.0, 3, window));
        assert_ne!(found, arrivals(50.0, 4, window));
        let mean = found.len() as f64 / 100.0;
        let gaps: Vec<f64> =
            found.windows(2).map(|pair| pair[1].saturating_sub(pair[0]).as_secs_f64() * mean).collect();
        let variance = gaps.iter().map(|gap| (gap - 1.0).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((0.85..1.15).contains(&variance), "exponential gaps have the variance 1, not {variance}");
    }
}
