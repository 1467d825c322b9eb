//! Figures from labels that were sought with different, known probabilities: reviewed images and a drawn
//! sample.
//!
//! Each label stands for as many images as its weight (Hajek's estimator). The interval is by strata of equal
//! answer and weight. In each, the share of positives has the Beta distribution of Jeffreys' prior, so that a
//! stratum without a miss still may hold some; a weighted normal interval would have no width there.

use super::cbpe::{Expected, FIGURES, figure};
use super::estimate::Known;
use crate::snapshot::Figure;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution, Gamma};
use std::collections::{BTreeMap, HashSet};

/// Draws for an interval.
const DRAWS: usize = 2000;

/// Labels of equal answer and weight.
#[derive(Default)]
struct Stratum {
    n: f64,
    n_positive: f64,
    days: HashSet<u64>,
}

impl Stratum {
    /// Numbers of positive and negative images that the stratum may stand for.
    fn draw(&self, weight: f64, rng: &mut ChaCha8Rng) -> [f64; 2] {
        // Patient-days, not images.
        let kept = self.days.len() as f64 / self.n;
        let (n, k) = (kept * self.n, kept * self.n_positive);
        let share = Beta::new(k + 0.5, n - k + 0.5).map_or(f64::NAN, |beta| beta.sample(rng));
        // Which images were drawn is chance, too, unless all were.
        let drawn =
            if weight > 1.0 { Gamma::new(n + 0.5, 1.0).map_or(n, |gamma| gamma.sample(rng)) } else { n };
        let images = weight * drawn / kept;
        [images * share, images * (1.0 - share)]
    }
}

/// Weighted figures in the order of [`FIGURES`].
pub(super) fn figures(known: &[Known]) -> [Option<Figure>; FIGURES.len()] {
    let mut expected = Expected::default();
    let mut strata: BTreeMap<(bool, u64), Stratum> = BTreeMap::new();
    for known in known {
        let (is_flagged, is_positive) = (known.scored.is_flagged(), f64::from(u8::from(known.positive)));
        expected.add(is_flagged, known.weight * is_positive, known.weight * (1.0 - is_positive));
        let stratum = strata.entry((is_flagged, known.weight.to_bits())).or_default();
        stratum.n += 1.0;
        stratum.n_positive += is_positive;
        stratum.days.insert(known.scored.patient_day);
    }
    // The same labels give the same interval on every replica.
    let mut rng = ChaCha8Rng::seed_from_u64(known.len() as u64);
    let mut draws: [Vec<f64>; FIGURES.len()] = Default::default();
    for _ in 0..DRAWS {
        let mut drawn = Expected::default();
        for ((is_flagged, weight), stratum) in &strata {
            let [positive, negative] = stratum.draw(f64::from_bits(*weight), &mut rng);
            drawn.add(*is_flagged, positive, negative);
        }
        for (draws, figure) in draws.iter_mut().zip(drawn.figures()) {
            if !figure.is_nan() {
                draws.push(figure);
            }
        }
    }
    let values = expected.figures();
    std::array::from_fn(|i| {
        draws[i].sort_by(f64::total_cmp);
        let at = |share: f64| draws[i].get((share * draws[i].len() as f64) as usize).copied();
        figure(values[i], [at(0.025)?, at(0.975)?], known.len() as u64)
    })
}
