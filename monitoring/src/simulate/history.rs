//! One simulated year of a site.

use crate::baseline::reference::Reference;
use crate::baseline::sample::Sample;
use crate::baseline::{Baseline, Detector, Options, ShareReference};
use crate::drift::bets::{N_BETS, N_SHARE_BETS, ShareBets, values};
use crate::quantity::{Group, Quantity};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Alarms of one detector that are counted in a year: more cannot be within a budget.
const MOST_ALARMS: usize = 500;

/// Rows of the sample by whole week.
pub(super) struct Weeks(Vec<Vec<u32>>);

/// Factors by row and bet. NaN where the row lacks the quantity.
pub(super) type Factors = Vec<f64>;

/// Blocks that stand in for weeks where there is no whole one, which a baseline needs unless a demonstration
/// asks for none.
const N_STAND_INS: usize = 4;

impl Weeks {
    pub(super) fn of(sample: &Sample) -> Self {
        if sample.n_weeks() == 0 {
            let rows: Vec<u32> = (0..sample.n_used() as u32).collect();
            let length = rows.len().div_ceil(N_STAND_INS).max(1);
            return Self(rows.chunks(length).map(<[u32]>::to_vec).collect());
        }
        let first = sample.days.iter().min().copied().unwrap_or(0);
        let mut weeks = vec![Vec::new(); sample.n_weeks() as usize];
        for (row, day) in (0..).zip(&sample.days) {
            if let Some(week) = weeks.get_mut(((day - first) / 7) as usize) {
                week.push(row);
            }
        }
        weeks.retain(|week| !week.is_empty());
        // By hand-over between days, not by leaf, so that the strata follow one another.
        for week in &mut weeks {
            week.sort_by_key(|row| sample.days[*row as usize]);
        }
        Self(weeks)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As many images as asked for, of weeks that are drawn with replacement.
    pub(super) fn images(&self, n: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
        let mut rows = Vec::with_capacity(n + 2000);
        while rows.len() < n {
            rows.extend(&self.0[rng.random_range(0..self.0.len())]);
        }
        rows.truncate(n);
        rows
    }

    /// A baseline as long as the site's, of drawn weeks. Days of a week that is drawn twice count once each.
    fn baseline(&self, sample: &Sample, rng: &mut ChaCha8Rng) -> Vec<(u32, i32)> {
        let mut rows = Vec::with_capacity(sample.n_used());
        for position in 0..self.0.len() as i32 {
            let week = &self.0[rng.random_range(0..self.0.len())];
            let day = |row: u32| position * 7 + sample.days[row as usize].rem_euclid(7);
            rows.extend(week.iter().map(|row| (*row, day(*row))));
        }
        rows
    }

    /// False alarms by detector in one year after a baseline of drawn weeks.
    pub(super) fn count_alarms(
        &self,
        sample: &Sample,
        used_per_year: f64,
        options: &Options,
        seed: u64,
    ) -> BTreeMap<Detector, u64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rows = self.baseline(sample, &mut rng);
        let baseline = Baseline::of_rows(sample, &rows, used_per_year, options);
        let images = self.images(used_per_year.ceil() as usize, &mut rng);
        let mut counts = BTreeMap::new();
        for setting in &baseline.settings {
            let n = match setting.detector {
                Detector::Group(Group::Rejections) => {
                    let rejected = |row: usize| f64::from(u8::from(sample.is_rejected[row]));
                    count_shares(baseline.rejections, sample, &rejected, &images, setting.threshold)
                }
                Detector::Prevalence => count_shares(
                    baseline.prevalence,
                    sample,
                    &|row| sample.probability[row],
                    &images,
                    setting.threshold,
                ),
                Detector::Group(group) => {
                    let of_group = |reference: &&Reference| reference.quantity.group() == group;
                    let references = baseline.references.iter().filter(of_group);
                    let factors: Vec<Factors> = references
                        .map(|r| factors(r, sample, column(sample, r.quantity), 0.0, &mut rng))
                        .collect();
                    alarms::<N_BETS>(&factors, &images, setting.threshold, MOST_ALARMS).len() as u64
                }
            };
            counts.insert(setting.detector, n);
        }
        counts
    }
}

pub(super) fn column(sample: &Sample, quantity: Quantity) -> &[f32] {
    sample.columns.iter().find(|(known, _)| *known == quantity).map_or(&[], |(_, column)| column)
}

/// The factors of each row's bets, with `shift` added to its value.
pub(super) fn factors(
    reference: &Reference,
    sample: &Sample,
    column: &[f32],
    shift: f32,
    rng: &mut ChaCha8Rng,
) -> Factors {
    let mut all = Vec::with_capacity(column.len() * N_BETS);
    for (value, stratum) in column.iter().zip(&sample.strata) {
        if value.is_nan() {
            all.extend([f64::NAN; N_BETS]);
        } else {
            let part = reference.part(usize::from(*stratum));
            let p = part.rank(value + shift, || rng.random::<f64>());
            all.extend(part.stakes.factors(&values(p)));
        }
    }
    all
}

pub(super) fn share_factors(
    reference: &ShareReference,
    sample: &Sample,
    value: &dyn Fn(usize) -> f64,
) -> Factors {
    let strata = sample.strata.iter().enumerate();
    strata
        .flat_map(|(row, stratum)| ShareBets::of(reference, usize::from(*stratum)).factors(value(row)))
        .collect()
}

fn count_shares(
    reference: Option<ShareReference>,
    sample: &Sample,
    value: &dyn Fn(usize) -> f64,
    images: &[u32],
    threshold: f64,
) -> u64 {
    let Some(reference) = reference else { return 0 };
    let factors = share_factors(&reference, sample, value);
    alarms::<N_SHARE_BETS>(&[factors], images, threshold, MOST_ALARMS).len() as u64
}

/// Positions of the alarms of one group, at most `most`. Each is resolved at once, which restarts the group.
pub(super) fn alarms<const N: usize>(
    quantities: &[Factors],
    images: &[u32],
    threshold: f64,
    most: usize,
) -> Vec<usize> {
    // Quantity by quantity within a stretch, which keeps a quantity's factors in the cache.
    const STRETCH: usize = 4096;
    const FIRST: usize = 64;
    let mut length = FIRST;
    let mut found = Vec::new();
    let mut states = vec![[0.0; N]; quantities.len()];
    let mut begin = 0;
    let mut sums = Vec::with_capacity(STRETCH);
    let limit = threshold * (N * quantities.len()) as f64;
    while begin < images.len() && found.len() < most {
        let stretch = &images[begin..images.len().min(begin + length)];
        sums.clear();
        sums.resize(stretch.len(), 0.0);
        for (state, factors) in states.iter_mut().zip(quantities) {
            for (sum, row) in sums.iter_mut().zip(stretch) {
                let own = &factors[*row as usize * N..][..N];
                if !own[0].is_nan() {
                    for (evidence, factor) in state.iter_mut().zip(own) {
                        *evidence = ((*evidence + 1.0) * factor).min(1e15);
                    }
                }
                *sum += state.iter().sum::<f64>();
            }
        }
        if let Some(position) = sums.iter().position(|sum| *sum >= limit) {
            found.push(begin + position);
            states.fill([0.0; N]);
            begin += position + 1;
            length = FIRST;
        } else {
            begin += stretch.len();
            length = STRETCH.min(2 * length);
        }
    }
    found
}
