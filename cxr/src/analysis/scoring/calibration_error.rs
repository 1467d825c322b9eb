//! Expected calibration error with a 95 % interval that covers, also where the error is near zero.
//!
//! **What it is.** The images are sorted by probability and cut into bins of equal count. In the population,
//! each of these bins has a gap: the share of positives minus the mean probability. The calibration error is
//! the root of the mean of the squared gaps, weighted by the bins' shares of the population (l2 norm; Kumar,
//! Liang and Ma 2019). It is in units of probability and never below the mean absolute gap of the same bins.
//!
//! **Why not resample.** Noise alone opens gaps, so the plug-in error of a calibrated score is above 0, and
//! that of a resample is higher still: a percentile interval then excludes the truth
//! (docs/monitoring/ECE.md).
//!
//! **The interval** holds the errors that a test at each side does not reject. The statistic is the plug-in
//! squared error of the sample. Its mean, variance and skewness under a candidate follow from the cumulants
//! of binomial counts; a cube-root normal (Wilson and Hilferty 1931) gives its quantiles. How the error is
//! spread over the bins is unknown and changes the variance: the candidates are multiples of the observed
//! gaps, with the noise of the noisiest bin added to its gap. Only `+ - * /`, square roots and comparisons
//! are used: the result has the same bits on every machine.

use super::judgeable;
use std::collections::BTreeMap;

/// Bins of a sample of at least `BINS * PATIENTS_PER_BIN` patients.
pub const BINS: usize = 15;
/// Smaller samples have fewer bins.
pub const PATIENTS_PER_BIN: usize = 20;
/// Standard normal quantile of 1 - 0.015. Each side is tested at 1.5 % instead of 2.5 % because the variances
/// under a candidate are estimated.
const Z: f64 = 2.170_090_377_584_56;
/// Halvings of the bracket around a solution.
const HALVINGS: usize = 40;

/// The l2 calibration error of a population.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationError {
    /// Median-unbiased estimate: it is 0 where the sample is compatible with no error. It lies within `ci95`.
    pub value: f64,
    /// 95 % confidence interval.
    pub ci95: [f64; 2],
    pub n_bins: usize,
}

/// The calibration error of probabilities with its interval. `groups` holds the patient of every image:
/// images of one patient may depend on each other.
///
/// `None` for invalid input (see [`super`]), a probability outside 0 to 1, fewer than two patients, or one
/// class only.
pub fn ece_interval(probabilities: &[f64], positive: &[bool], groups: &[usize]) -> Option<CalibrationError> {
    let valid = judgeable(probabilities, positive)
        && groups.len() == positive.len()
        && probabilities.iter().all(|p| (0.0..=1.0).contains(p));
    let both_classes = positive.iter().any(|y| *y) && !positive.iter().all(|y| *y);
    if !valid || !both_classes {
        return None;
    }
    let patients = by_patient(groups);
    if patients.len() < 2 {
        return None;
    }
    let n_bins = (patients.len() / PATIENTS_PER_BIN).clamp(1, BINS);
    let (mut bins, bin_of) = bins_of_equal_count(probabilities, positive, n_bins);
    let dependence = Dependence::new(probabilities, positive, &patients, (&bins, &bin_of));
    complete(&mut bins, dependence.of_residuals);
    let statistic = Statistic { n: positive.len() as f64, bins, dependence };
    Some(statistic.interval())
}

/// Images that are next to each other in probability.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    n: f64,
    mean_probability: f64,
    positive_rate: f64,
    /// Mean of p (1 - p): the variance of a label if the probabilities are right.
    expected_variance: f64,
    /// Variance of label minus probability.
    observed_variance: f64,
    /// Variance of a label over that of a Bernoulli variable with the bin's rate: without an error, and with
    /// the observed gap. Below 1 where probabilities differ within the bin.
    spread: [f64; 2],
    /// Gap of the candidate with multiple 1.
    direction: f64,
}

impl Bin {
    fn of(images: &[usize], probabilities: &[f64], positive: &[bool]) -> Self {
        let n = images.len() as f64;
        let mean = |of: &dyn Fn(f64, f64) -> f64| {
            let values = images.iter().map(|i| of(probabilities[*i], f64::from(u8::from(positive[*i]))));
            values.sum::<f64>() / n
        };
        let (mean_probability, positive_rate) = (mean(&|p, _| p), mean(&|_, y| y));
        let gap = positive_rate - mean_probability;
        Self {
            n,
            mean_probability,
            positive_rate,
            expected_variance: mean(&|p, _| p * (1.0 - p)),
            observed_variance: mean(&|p, y| (y - p - gap) * (y - p - gap)),
            ..Self::default()
        }
    }

    fn gap(&self) -> f64 {
        self.positive_rate - self.mean_probability
    }

    /// Sets `spread`, and returns the variance of the gap.
    fn complete(&mut self, design_effect: f64) -> f64 {
        let n = self.n / design_effect;
        let bernoulli = self.mean_probability * (1.0 - self.mean_probability);
        let without = if bernoulli > 0.0 { (self.expected_variance / bernoulli).min(1.0) } else { 1.0 };
        // Half an image of each class more: a bin without an error has a variance too.
        let rate = (self.positive_rate * n + 0.5) / (n + 1.0);
        let smoothed = rate * (1.0 - rate);
        let unbiased = self.observed_variance * self.n / (self.n - 1.0).max(1.0);
        self.spread = [without, without.max(unbiased / smoothed)];
        self.expected_variance.max(self.observed_variance).max(smoothed * without) / n
    }
}

/// Sets `spread` and `direction` of every bin. The direction is the observed gap, less where it may be noise.
/// To the noisiest bin its noise is added: the error that the sample shows least may be there.
fn complete(bins: &mut [Bin], design_effect: f64) {
    let noise: Vec<f64> = bins.iter_mut().map(|bin| bin.complete(design_effect)).collect();
    let noisiest = noise.iter().fold(0.0, |most: f64, of_bin| most.max(*of_bin));
    for (bin, noise) in bins.iter_mut().zip(noise) {
        let gap = bin.gap();
        let square = gap * gap;
        let added = if noise < noisiest { 0.0 } else { noise };
        let size = (square * square / (square + noise) + added).sqrt();
        let above = if gap == 0.0 { bin.mean_probability < 0.5 } else { gap > 0.0 };
        bin.direction = if above { size } else { -size };
    }
}

/// The largest probability of every bin but the last, if the images are cut into `n_bins` bins of equal
/// count. Equal probabilities share a bin, so there may be fewer bins. Probabilities must not be NaN.
pub fn edges_of_equal_count(probabilities: &[f64], n_bins: usize) -> Vec<f64> {
    let mut sorted = probabilities.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut edges: Vec<f64> = (1..n_bins)
        .filter_map(|bin| sorted.get((bin * sorted.len() / n_bins).checked_sub(1)?).copied())
        .collect();
    edges.dedup();
    if edges.last() == sorted.last() {
        edges.pop();
    }
    edges
}

/// The bins, and the bin of every image.
fn bins_of_equal_count(p: &[f64], positive: &[bool], n_bins: usize) -> (Vec<Bin>, Vec<usize>) {
    let edges = edges_of_equal_count(p, n_bins);
    let bin_of: Vec<usize> = p.iter().map(|p| edges.partition_point(|edge| edge < p)).collect();
    let mut images = vec![Vec::new(); edges.len() + 1];
    for (image, bin) in bin_of.iter().enumerate() {
        images[*bin].push(image);
    }
    (images.iter().map(|images| Bin::of(images, p, positive)).collect(), bin_of)
}

/// The images of every patient.
fn by_patient(groups: &[usize]) -> Vec<Vec<usize>> {
    let mut patients: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (image, group) in groups.iter().enumerate() {
        patients.entry(*group).or_default().push(image);
    }
    patients.into_values().collect()
}

/// By how much the images of a patient that depend on each other enlarge variances (design effects).
#[derive(Debug, Clone, Copy)]
struct Dependence {
    /// Of a bin's gap; between 1 and `of_counts`.
    of_residuals: f64,
    /// Of a bin's share of the images, at worst: all images of a patient lie in one bin.
    of_counts: f64,
}

impl Dependence {
    fn new(
        p: &[f64],
        positive: &[bool],
        patients: &[Vec<usize>],
        (bins, bin_of): (&[Bin], &[usize]),
    ) -> Self {
        let squares = patients.iter().map(|images| (images.len() * images.len()) as f64);
        let of_counts = squares.sum::<f64>() / p.len() as f64;
        // Sums over patients and over images: of a bin's residuals, and of the error's linear part.
        let (mut of_bins, mut of_error) = ([0.0, 0.0], [0.0, 0.0]);
        for images in patients {
            let mut sums = [0.0; BINS];
            for image in images {
                let bin = &bins[bin_of[*image]];
                let residual = f64::from(u8::from(positive[*image])) - p[*image] - bin.gap();
                sums[bin_of[*image]] += residual;
                of_bins[1] += residual * residual / bin.n;
                of_error[1] += bin.gap() * bin.gap() * residual * residual;
            }
            let both = || sums.iter().zip(bins);
            of_bins[0] += both().map(|(sum, bin)| sum * sum / bin.n).sum::<f64>();
            let linear = both().map(|(sum, bin)| bin.gap() * sum).sum::<f64>();
            of_error[0] += linear * linear;
        }
        let ratio =
            |[by_patient, by_image]: [f64; 2]| if by_image > 0.0 { by_patient / by_image } else { 1.0 };
        let of_residuals = ratio(of_bins).max(ratio(of_error)).clamp(1.0, of_counts);
        Self { of_residuals, of_counts }
    }
}

/// The plug-in squared error, and what its distribution depends on.
#[derive(Debug)]
struct Statistic {
    n: f64,
    bins: Vec<Bin>,
    dependence: Dependence,
}

impl Statistic {
    fn observed(&self) -> f64 {
        self.bins.iter().map(|bin| bin.n / self.n * bin.gap() * bin.gap()).sum()
    }

    /// The squared error of a candidate, and the statistic's distribution under it.
    fn under(&self, multiple: f64) -> (f64, Distribution) {
        let (mut squared_error, mut fourth) = (0.0, 0.0);
        let mut sum = Distribution::default();
        for bin in &self.bins {
            let weight = bin.n / self.n;
            let rate = (bin.mean_probability + multiple * bin.direction).clamp(0.0, 1.0);
            let gap = rate - bin.mean_probability;
            let spread = bin.spread[0] + multiple.min(1.0) * (bin.spread[1] - bin.spread[0]);
            let [mean, variance, third] =
                of_squared_gap(gap, rate, bin.n / self.dependence.of_residuals, spread);
            sum.mean += weight * mean;
            sum.variance += weight * weight * variance;
            sum.third += weight * weight * weight * third;
            squared_error += weight * gap * gap;
            fourth += weight * gap * gap * gap * gap;
        }
        // The bins' shares of the population are estimated too.
        let of_shares = (fourth - squared_error * squared_error).max(0.0) / self.n;
        sum.variance = sum.variance.max(0.0) + self.dependence.of_counts * of_shares;
        (squared_error, sum)
    }

    /// The largest squared error under which `observed` is at least the quantile of `z`; 0 if there is none.
    fn largest(&self, observed: f64, z: f64) -> f64 {
        let reached = |multiple: f64| observed >= self.under(multiple).1.quantile(z);
        if !reached(0.0) {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, 1.0);
        // At 2^20 every rate with a direction has reached 0 or 1.
        while reached(high) && high < 1_048_576.0 {
            high *= 2.0;
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if reached(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.under(low).0
    }

    /// The largest squared error that may show no wrong label at all: with a probability of 2.5 %, a bin of n
    /// images has none if its rate is `-ln(0.025) / n`. This matters for certain and right probabilities
    /// only.
    fn unseen(&self) -> f64 {
        const MINUS_LN: f64 = 3.688_879_454_113_936;
        let of_bin = |bin: &Bin| {
            let rate = (MINUS_LN * self.dependence.of_residuals / bin.n).min(1.0);
            bin.n / self.n * rate * rate
        };
        self.bins.iter().map(of_bin).fold(0.0, f64::max)
    }

    fn interval(&self) -> CalibrationError {
        let observed = self.observed();
        let squared = self.largest(observed, 0.0);
        // A sample without a gap, such as one of certain and right probabilities, shows no error.
        let low = if observed > 0.0 { self.largest(observed, Z).min(squared) } else { 0.0 };
        // A statistic that is small by luck does not show a small error (Cowan et al. 2011): the upper limit
        // is at least what the median of no error gives.
        let typical = self.under(0.0).1.quantile(0.0);
        let high = self.largest(observed.max(typical), -Z).max(self.unseen()).max(squared).min(1.0);
        CalibrationError { value: squared.sqrt(), ci95: [low.sqrt(), high.sqrt()], n_bins: self.bins.len() }
    }
}

/// Mean, variance and third cumulant of (share of positives - mean probability)^2, where the number of
/// positives is binomial with its cumulants multiplied by `spread`.
fn of_squared_gap(gap: f64, rate: f64, n: f64, spread: f64) -> [f64; 3] {
    let square = |x: f64| x * x;
    let (x, skew, d2) = (rate * (1.0 - rate), 1.0 - 2.0 * rate, gap * gap);
    let k2 = spread * x / n;
    let k3 = k2 * skew / n;
    let k4 = k2 * (1.0 - 6.0 * x) / square(n);
    let k5 = k3 * (1.0 - 12.0 * x) / square(n);
    let k6 = k2 * (1.0 - 30.0 * x + 120.0 * square(x)) / square(square(n));
    // Central moments from cumulants.
    let (m4, m5) = (k4 + 3.0 * square(k2), k5 + 10.0 * k3 * k2);
    let m6 = k6 + 15.0 * k4 * k2 + 10.0 * square(k3) + 15.0 * k2 * square(k2);
    let second = d2 + k2;
    let fourth = square(d2) + 6.0 * d2 * k2 + 4.0 * gap * k3 + m4;
    let sixth = d2 * square(d2)
        + 15.0 * square(d2) * k2
        + 20.0 * d2 * gap * k3
        + 15.0 * d2 * m4
        + 6.0 * gap * m5
        + m6;
    [second, fourth - square(second), sixth - 3.0 * fourth * second + 2.0 * second * square(second)]
}

#[derive(Debug, Clone, Copy, Default)]
struct Distribution {
    mean: f64,
    variance: f64,
    /// Third cumulant.
    third: f64,
}

impl Distribution {
    /// The quantile of a shifted gamma distribution with these cumulants, by Wilson and Hilferty (1931). In
    /// the lower half it never begins above 0, where the statistic begins.
    fn quantile(&self, z: f64) -> f64 {
        let deviation = self.variance.sqrt();
        let mut skewness = if deviation > 0.0 { self.third / (self.variance * deviation) } else { 0.0 };
        if z <= 0.0 && skewness > 0.0 {
            skewness = skewness.min(2.0 * deviation / self.mean);
        }
        if skewness < 1e-4 {
            return self.mean + z * deviation;
        }
        let sixth = skewness / 6.0;
        let root = (1.0 - sixth * sixth + z * sixth).max(0.0);
        self.mean + deviation * (2.0 / skewness) * (root * root * root - 1.0)
    }
}
