//! How soon a detector finds named shifts of the site's own images.

use super::Plan;
use super::history::{Factors, Weeks, alarms, column, factors, share_factors};
use crate::baseline::reference::Reference;
use crate::baseline::sample::Sample;
use crate::baseline::{Baseline, Detector};
use crate::drift::bets::{N_BETS, N_SHARE_BETS};
use crate::quantity::Group;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Images after which a shift counts as not found.
const MOST: usize = 20_000;

/// The delay of one named shift.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delay {
    pub detector: Detector,
    pub shift: String,
    /// Images from the shift to the alarm; `None` if more than half of the draws found nothing.
    pub median_images: Option<u64>,
    /// 90th percentile, likewise.
    pub p90_images: Option<u64>,
    pub n: u64,
}

pub(super) fn delays(sample: &Sample, baseline: &Baseline, weeks: &Weeks, plan: &Plan) -> Vec<Delay> {
    let mut found = Vec::new();
    if weeks.is_empty() || plan.n_delays == 0 {
        return found;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed ^ 0xde1a);
    for setting in &baseline.settings {
        for (name, factors) in shifts(setting.detector, sample, baseline, &mut rng) {
            let mut delays: Vec<usize> = (0..plan.n_delays)
                .map(|_| {
                    let mut images = weeks.images(2 * MOST, &mut rng);
                    let start = rng.random_range(0..MOST);
                    images.drain(..start);
                    images.truncate(MOST);
                    let found = if factors.first().is_some_and(|f| f.len() == N_SHARE_BETS * sample.n_used())
                    {
                        alarms::<N_SHARE_BETS>(&factors, &images, setting.threshold, 1)
                    } else {
                        alarms::<N_BETS>(&factors, &images, setting.threshold, 1)
                    };
                    found.first().map_or(usize::MAX, |position| position + 1)
                })
                .collect();
            delays.sort_unstable();
            let at = |share: usize| {
                let delay = delays[(delays.len() * share).div_ceil(100).saturating_sub(1)];
                (delay < usize::MAX).then_some(delay as u64)
            };
            found.push(Delay {
                detector: setting.detector,
                shift: name,
                median_images: at(50),
                p90_images: at(90),
                n: delays.len() as u64,
            });
        }
    }
    found
}

fn shifts(
    detector: Detector,
    sample: &Sample,
    baseline: &Baseline,
    rng: &mut ChaCha8Rng,
) -> Vec<(String, Vec<Factors>)> {
    let n = sample.n_used();
    let lost = |share: f64, rng: &mut ChaCha8Rng| -> Vec<bool> {
        (0..n).map(|_| rng.random::<f64>() < share).collect()
    };
    match detector {
        Detector::Group(Group::Rejections) => {
            let Some(reference) = baseline.rejections else { return Vec::new() };
            let also = lost(0.05, rng);
            let value = |row: usize| f64::from(u8::from(sample.is_rejected[row] || also[row]));
            vec![("5 % more images rejected".into(), vec![share_factors(&reference, n, &value)])]
        }
        Detector::Prevalence => {
            let Some(reference) = baseline.prevalence else { return Vec::new() };
            let turned = lost(0.3, rng);
            // A positive that is missed out is replaced by its mirror image.
            let value = |row: usize| {
                let p = sample.probability[row];
                if turned[row] { p.min(1.0 - p) } else { p }
            };
            vec![("30 % fewer positives".into(), vec![share_factors(&reference, n, &value)])]
        }
        Detector::Group(group) => {
            let references = || baseline.references.iter().filter(|r| r.quantity.group() == group);
            let mut shifted = |deviations: f32| -> Vec<Factors> {
                let one = |reference: &Reference| {
                    let column = column(sample, reference.quantity);
                    factors(reference, sample, column, deviations * deviation(column), rng)
                };
                references().map(one).collect()
            };
            vec![
                ("every quantity up by 0.25 sd".into(), shifted(0.25)),
                ("every quantity up by 0.5 sd".into(), shifted(0.5)),
                ("every quantity up by 1 sd".into(), shifted(1.0)),
            ]
        }
    }
}

/// Standard deviation of the finite values.
fn deviation(column: &[f32]) -> f32 {
    let finite = || column.iter().filter(|value| value.is_finite()).map(|value| f64::from(*value));
    let n = finite().count().max(1) as f64;
    let mean = finite().sum::<f64>() / n;
    (finite().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt() as f32
}
