//! Images from a shift to the first alarm, through the detectors as the service runs them.

use super::images::Shift;
use super::site::{PER_YEAR, PREVALENCE, Site};
use anyhow::Result;
use monitoring::baseline::{Baseline, Detector};
use monitoring::drift::{DriftDetector, Opened};
use monitoring::observation::Observation;
use monitoring::prevalence::PrevalenceDetector;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// Images after which a shift counts as not found.
const MOST: usize = 3000;
/// Shifts of one baseline.
const PER_BASELINE: usize = 10;
/// Images a second of the simulated clock: 200 a day.
const STEP_S: i64 = 432;

/// What changes, and to which share of positives.
pub(super) fn shifts(site: &Site<'_>) -> Vec<(String, Shift, f64)> {
    let of_images = Shift::ALL.into_iter().filter(|shift| *shift != Shift::None);
    let of_images = of_images.filter(|shift| site.pool.contains_key(shift));
    let mut shifts: Vec<_> = of_images.map(|s| (s.title().to_owned(), s, PREVALENCE)).collect();
    shifts.extend([0.35, 0.5].map(|to| (format!("prevalence {PREVALENCE} to {to}"), Shift::None, to)));
    shifts
}

pub(super) fn table(site: &Site<'_>, reference: &str, n_draws: usize) -> Result<String> {
    let mut text = format!(
        "\n### Delay, baseline of {reference}\n\n| shift | detector | found | median images | 90th percentile | first in |\n\
         |---|---|---|---|---|---|\n"
    );
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let shifts = shifts(site);
    let mut found: Vec<Vec<BTreeMap<Detector, usize>>> = vec![Vec::new(); shifts.len()];
    for _ in 0..n_draws.div_ceil(PER_BASELINE) {
        let images = site.weeks(&mut rng);
        let armed = site.baselines(&images, PER_YEAR as f64)?.into_iter().map(|(_, mut baseline)| {
            baseline.settings.iter_mut().for_each(|setting| setting.is_armed = true);
            Arc::new(baseline)
        });
        let armed: Vec<Arc<Baseline>> = armed.collect();
        for (found, (_, shift, prevalence)) in found.iter_mut().zip(&shifts) {
            for _ in 0..PER_BASELINE.min(n_draws) {
                found.push(delays(site, &armed, *shift, *prevalence, &mut rng));
            }
        }
    }
    for ((name, ..), draws) in shifts.iter().zip(&found) {
        let first = |draw: &BTreeMap<Detector, usize>| draw.values().min().copied();
        let named = |draw: &BTreeMap<Detector, usize>| draw.iter().min_by_key(|(_, n)| **n).map(|(d, _)| *d);
        line(
            &mut text,
            name,
            "**any**",
            draws.iter().map(first),
            draws.iter().filter(|d| !d.is_empty()).count(),
        )?;
        for detector in Detector::ALL {
            let own = draws.iter().map(|draw| draw.get(&detector).copied());
            if own.clone().flatten().count() > 0 {
                line(
                    &mut text,
                    name,
                    detector.name(),
                    own,
                    draws.iter().filter(|d| named(d) == Some(detector)).count(),
                )?;
            }
        }
    }
    Ok(text)
}

fn line(
    text: &mut String,
    shift: &str,
    detector: &str,
    delays: impl Iterator<Item = Option<usize>>,
    first_in: usize,
) -> Result<()> {
    let mut delays: Vec<usize> = delays.map(|delay| delay.unwrap_or(usize::MAX)).collect();
    delays.sort_unstable();
    let found = delays.iter().filter(|delay| **delay < usize::MAX).count();
    let at = |share: usize| match delays[(delays.len() * share).div_ceil(100) - 1] {
        usize::MAX => format!("> {MOST}"),
        delay => delay.to_string(),
    };
    let n = delays.len();
    writeln!(text, "| {shift} | {detector} | {found} of {n} | {} | {} | {first_in} |", at(50), at(90))?;
    Ok(())
}

/// The first alarm of each detector after a shift that begins after 200 to 1,000 images without one. A
/// detector that was in alarm before it finds nothing.
fn delays(
    site: &Site<'_>,
    baselines: &[Arc<Baseline>],
    shift: Shift,
    prevalence: f64,
    rng: &mut ChaCha8Rng,
) -> BTreeMap<Detector, usize> {
    let mut detectors: Vec<DriftDetector> = baselines.iter().cloned().map(DriftDetector::new).collect();
    let mut of_prevalence: Vec<_> = baselines.iter().cloned().filter_map(PrevalenceDetector::new).collect();
    let mut observe = |observation: &Observation| -> Vec<Opened> {
        let mut opened: Vec<Opened> = detectors.iter_mut().flat_map(|d| d.observe(observation)).collect();
        opened.extend(of_prevalence.iter_mut().filter_map(|d| d.observe(observation)));
        opened
    };
    let n_before = rng.random_range(200..1000);
    let mut before = Vec::new();
    let mut found = BTreeMap::new();
    for position in 0..n_before + MOST {
        let is_shifted = position >= n_before;
        let image = if is_shifted {
            site.draw(shift, prevalence, rng)
        } else {
            site.draw(Shift::None, PREVALENCE, rng)
        };
        let at = 1_740_000_000 + position as i64 * STEP_S;
        let observation = site.observation(image, position as u64, at, rng);
        for opened in observe(&observation) {
            if is_shifted {
                found.entry(opened.detector).or_insert(position - n_before + 1);
            } else {
                before.push(opened.detector);
            }
        }
        // What comes later than ten times the first alarm is of no interest.
        let first = found.values().min().copied();
        if first.is_some_and(|first| position > n_before + 10 * first.max(20)) {
            break;
        }
    }
    found.retain(|detector, _| !before.contains(detector));
    found
}
