//! Does a site's baseline keep its budget? Weeks of the site are drawn again, as a baseline and as the images
//! after it, so that the error of a limited baseline and the dependence of the site's images are in the
//! count.

mod delay;
mod history;
#[cfg(test)]
mod tests;

use crate::baseline::sample::Sample;
use crate::baseline::{Baseline, Detector, Options};
pub use delay::Delay;
use history::Weeks;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};

/// How a simulation runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// One year each, with a baseline of its own.
    pub n_years: usize,
    /// Draws of each named shift.
    pub n_delays: usize,
    pub n_threads: usize,
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { n_years: 200, n_delays: 100, n_threads: 2, seed: 1 }
    }
}

/// What the simulation measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Simulation {
    pub n_years: u64,
    pub images_per_year: f64,
    pub detectors: Vec<SimulatedDetector>,
    pub delays: Vec<Delay>,
}

/// False alarms of one detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimulatedDetector {
    pub detector: Detector,
    /// At most 500 a year are counted.
    pub n_alarms: u64,
    /// The detector's share of the budget.
    pub stated_per_year: f64,
    pub measured_per_year: f64,
    /// 95 % interval: of a Poisson count, or from the spread between the years if that is wider.
    pub low_per_year: f64,
    pub high_per_year: f64,
    /// Whether the upper end is at most what is stated.
    pub keeps_budget: bool,
}

/// Simulates a site's detectors; `progress` hears the share that is done. Without a whole week, quarters of
/// the sample stand in for weeks.
pub fn simulate(
    sample: &Sample,
    baseline: &Baseline,
    options: &Options,
    plan: &Plan,
    progress: &(dyn Fn(f64) + Sync),
) -> Simulation {
    let weeks = Weeks::of(sample);
    let n_years = if weeks.is_empty() { 0 } else { plan.n_years };
    let next = AtomicUsize::new(0);
    let run = || {
        let mut counted = Vec::new();
        loop {
            let year = next.fetch_add(1, Ordering::Relaxed);
            if year >= n_years {
                return counted;
            }
            let seed = plan.seed.wrapping_mul(1 << 20).wrapping_add(year as u64);
            counted.push((year, weeks.count_alarms(sample, baseline.used_per_year, options, seed)));
            progress((year + 1) as f64 / n_years as f64);
        }
    };
    let mut years = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.n_threads.max(1)).map(|_| scope.spawn(run)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    years.sort_by_key(|(year, _)| *year);
    let summary = |setting: &crate::baseline::Setting| {
        let count = |(_, counts): &(usize, std::collections::BTreeMap<Detector, u64>)| {
            counts.get(&setting.detector).copied().unwrap_or(0)
        };
        let counts: Vec<u64> = years.iter().map(count).collect();
        summarise(setting.detector, &counts, options.alarms_per_year * setting.detector.share())
    };
    Simulation {
        n_years: years.len() as u64,
        images_per_year: baseline.used_per_year,
        detectors: baseline.settings.iter().map(summary).collect(),
        delays: delay::delays(sample, baseline, &weeks, plan),
    }
}

fn summarise(detector: Detector, counts: &[u64], stated_per_year: f64) -> SimulatedDetector {
    let (n_years, n_alarms) = (counts.len() as f64, counts.iter().sum::<u64>());
    let mean = n_alarms as f64 / n_years.max(1.0);
    let variance = counts.iter().map(|c| (*c as f64 - mean).powi(2)).sum::<f64>() / (n_years - 1.0).max(1.0);
    let half = 1.96 * (variance / n_years.max(1.0)).sqrt();
    let (low, high) = poisson_interval(n_alarms);
    let low_per_year = (low / n_years.max(1.0)).min(mean - half).max(0.0);
    let high_per_year = (high / n_years.max(1.0)).max(mean + half);
    SimulatedDetector {
        detector,
        n_alarms,
        stated_per_year,
        measured_per_year: mean,
        low_per_year,
        high_per_year,
        keeps_budget: n_years > 0.0 && high_per_year <= stated_per_year,
    }
}

/// Exact 95 % interval of a Poisson mean (Garwood 1936), by bisection.
fn poisson_interval(count: u64) -> (f64, f64) {
    // P(X <= k) for the mean.
    let up_to = |k: u64, mean: f64| {
        let mut log_term = -mean;
        let mut sum = 0.0;
        for i in 0..=k {
            sum += log_term.exp();
            log_term += (mean / (i + 1) as f64).ln();
        }
        sum
    };
    let bisect = |is_above: &dyn Fn(f64) -> bool| {
        let (mut low, mut high) = (1e-9, 10.0 + 3.0 * count as f64);
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            if is_above(middle) { high = middle } else { low = middle }
        }
        high
    };
    let high = bisect(&|mean| up_to(count, mean) < 0.025);
    let low = if count == 0 { 0.0 } else { bisect(&|mean| up_to(count - 1, mean) < 0.975) };
    (low, high)
}

impl Baseline {
    /// Arms the detectors whose simulation kept the budget, and no others.
    pub fn arm(&mut self, simulation: &Simulation) {
        for setting in &mut self.settings {
            let found = simulation.detectors.iter().find(|found| found.detector == setting.detector);
            setting.is_armed = found.is_some_and(|found| found.keeps_budget);
        }
    }
}
