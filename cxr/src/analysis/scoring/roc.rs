//! The receiver operating characteristic: curve, area under it and operating points. `confusion` describes
//! one threshold.

use super::judgeable;

/// One point of the curve: the result of calling `score >= threshold` positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RocPoint {
    /// Threshold; `+inf` on the first point, where nothing is called positive.
    pub threshold: f64,
    /// Share of the positives called positive.
    pub sensitivity: f64,
    /// Share of the negatives called positive: 1 - specificity.
    pub false_positive_rate: f64,
}

/// The curve over every distinct score, by descending threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct RocCurve {
    points: Vec<RocPoint>,
    auc: f64,
    youden: RocPoint,
}

/// Area under the curve: the probability that a positive outscores a negative, ties counting half. It is the
/// Mann-Whitney U statistic over the number of pairs (Hanley and McNeil 1982), computed exactly from the
/// ranks in O(n log n). `None` unless both classes are present and the input is valid (see [`super`]).
pub fn auc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let steps = steps(scores, positive)?;
    Some(auc_of(&steps))
}

impl RocCurve {
    /// Tied scores make one point. `None` where [`auc`] is.
    pub fn new(scores: &[f64], positive: &[bool]) -> Option<Self> {
        let steps = steps(scores, positive)?;
        let last = steps.last()?;
        let point = |step: &Step| RocPoint {
            threshold: step.threshold,
            sensitivity: step.true_positives as f64 / last.true_positives as f64,
            false_positive_rate: step.false_positives as f64 / last.false_positives as f64,
        };
        // Youden's J times the number of pairs, in integers so that rounding cannot break a tie.
        let pairs_j = |step: &Step| {
            i128::from(step.true_positives) * i128::from(last.false_positives)
                - i128::from(step.false_positives) * i128::from(last.true_positives)
        };
        // `max_by_key` keeps the last of equals. In reverse order that is the highest threshold.
        let best = steps.iter().rev().max_by_key(|step| pairs_j(step))?;
        let start = RocPoint { threshold: f64::INFINITY, sensitivity: 0.0, false_positive_rate: 0.0 };
        Some(Self {
            points: std::iter::once(start).chain(steps.iter().map(point)).collect(),
            auc: auc_of(&steps),
            youden: point(best),
        })
    }

    /// Points by descending threshold, from (0, 0) at `+inf` to (1, 1) at the lowest score.
    pub fn points(&self) -> &[RocPoint] {
        &self.points
    }

    /// Area under the curve, equal to [`auc`].
    pub fn auc(&self) -> f64 {
        self.auc
    }

    /// The point that maximises J = sensitivity + specificity - 1 (Youden 1950); among equals the highest
    /// threshold. Its threshold is always a score, never `+inf`.
    pub fn youden(&self) -> RocPoint {
        self.youden
    }

    /// The point with the highest score as threshold whose sensitivity is at least `target`. If no threshold
    /// reaches `target` (above 1, or NaN), the last point, where everything is called positive.
    pub fn at_sensitivity(&self, target: f64) -> RocPoint {
        let met = self.points.iter().skip(1).find(|point| point.sensitivity >= target);
        *met.or(self.points.last()).unwrap_or(&self.youden)
    }
}

/// Cumulative counts down to and including one distinct score.
struct Step {
    threshold: f64,
    true_positives: u64,
    false_positives: u64,
}

/// One step for each distinct score, by falling score. `None` unless both classes are present.
#[expect(
    clippy::float_cmp,
    reason = "a tie is exact equality; `==` and not the total order, so that -0 ties with 0"
)]
fn steps(scores: &[f64], positive: &[bool]) -> Option<Vec<Step>> {
    if !judgeable(scores, positive) {
        return None;
    }
    let mut ranked: Vec<(f64, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (mut true_positives, mut false_positives) = (0, 0);
    let mut steps = Vec::new();
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        let positives = tied.iter().filter(|(_, y)| *y).count() as u64;
        true_positives += positives;
        false_positives += tied.len() as u64 - positives;
        steps.push(Step { threshold: tied[0].0, true_positives, false_positives });
    }
    (true_positives > 0 && false_positives > 0).then_some(steps)
}

fn auc_of(steps: &[Step]) -> f64 {
    // Twice the pairs won, as an integer: every negative of a step loses to the positives above it and ties
    // with those beside it.
    let (mut twice_won, mut above_tp, mut above_fp) = (0_u128, 0, 0);
    for step in steps {
        let negatives = step.false_positives - above_fp;
        twice_won += u128::from(negatives) * u128::from(above_tp + step.true_positives);
        (above_tp, above_fp) = (step.true_positives, step.false_positives);
    }
    twice_won as f64 / (2 * u128::from(above_tp) * u128::from(above_fp)) as f64
}
