//! Sample sizes: how many more images an interval needs, and how certain an operating point is.

use cxr::bundle::Measured;

/// Images of each class: negative, positive.
pub type Classes = [usize; 2];

/// No estimate beyond this many times the present number of images: the figure is too close to the bound.
const MAX_FACTOR: usize = 20;

/// Standard normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// How many images of each class are missing to have at least `least` of both.
pub(crate) fn missing([negative, positive]: Classes, least: usize) -> Vec<(&'static str, usize)> {
    let mut missing =
        vec![("negative", least.saturating_sub(negative)), ("positive", least.saturating_sub(positive))];
    missing.retain(|(_, n)| *n > 0);
    missing
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntervalMethod {
    Bootstrap,
    /// Wilson's score interval for this number of images, or of patients if those are fewer.
    Wilson(usize),
}

impl std::fmt::Display for IntervalMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bootstrap => write!(f, "bootstrap"),
            Self::Wilson(n) => write!(f, "Wilson, n {n}"),
        }
    }
}

/// Wilson's 95 % score interval (1927) of a share of `n`. Unlike `cxr::analysis::scoring::proportion`, it
/// accepts any share, not only multiples of `1 / n`.
fn wilson(share: f64, n: usize) -> [f64; 2] {
    let n = n as f64;
    let scale = 1.0 + Z * Z / n;
    let centre = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (share * (1.0 - share) / n + (Z / (2.0 * n)).powi(2)).sqrt();
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

/// A share with the wider of two intervals: the measured bootstrap interval, or Wilson's for the number of
/// images, or of patients if those are fewer. The bootstrap gives 14 of 14 an interval without width,
/// although its lower end is uncertain.
pub fn with_wider_interval(share: &Measured, patients: usize) -> (Measured, IntervalMethod) {
    let n = share.n.min(patients).max(1);
    let [low, high] = wilson(share.value, n);
    if high - low > share.ci95[1] - share.ci95[0] {
        (Measured { ci95: [low, high], ..*share }, IntervalMethod::Wilson(n))
    } else {
        (*share, IntervalMethod::Bootstrap)
    }
}

/// Standard error of an area under the ROC curve (Hanley and McNeil 1982, Radiology 143): with `Q1 = A / (2 -
/// A)` and `Q2 = 2 A^2 / (1 + A)` its square is `(A (1 - A) + (n1 - 1) (Q1 - A^2) + (n0 - 1) (Q2 - A^2)) /
/// (n0 n1)`, for `n1` positives and `n0` negatives.
pub fn standard_error(auc: f64, [negative, positive]: Classes) -> f64 {
    let (q1, q2) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
    let (n0, n1) = (negative as f64, positive as f64);
    let sum = auc * (1.0 - auc) + (n1 - 1.0) * (q1 - auc * auc) + (n0 - 1.0) * (q2 - auc * auc);
    (sum.max(0.0) / (n0 * n1)).sqrt()
}

/// How many more images of each class would raise the lower end of an AUC's interval to the bound, if the AUC
/// stays the same. Assumes that the interval shrinks in proportion to [`standard_error`], starting at the
/// measured width, which accounts for several images per patient. Adds each image to the class that narrows
/// the interval more.
///
/// `None` if the AUC does not exceed the bound, or by too little for a realistic number of images.
pub fn more_for_auc(auc: &Measured, bound: f64, n: Classes) -> Option<Classes> {
    let wanted = standard_error(auc.value, n) * shrinkage(auc, bound)?;
    let mut found = n;
    while standard_error(auc.value, found) > wanted {
        if found[0] + found[1] > MAX_FACTOR * (n[0] + n[1]) {
            return None;
        }
        let with = |class: usize| {
            let mut larger = found;
            larger[class] += 1;
            larger
        };
        let errors = [0, 1].map(|class| standard_error(auc.value, with(class)));
        found = with(usize::from(errors[1] < errors[0]));
    }
    Some([found[0] - n[0], found[1] - n[1]])
}

/// As [`more_for_auc`], for a share whose interval is assumed to shrink as Wilson's does.
pub fn more_for_share(share: &Measured, bound: f64) -> Option<usize> {
    let n = share.n;
    let below = |n: usize| share.value - wilson(share.value, n)[0];
    let wanted = below(n) * shrinkage(share, bound)?;
    (n..=MAX_FACTOR * n).find(|larger| below(*larger) <= wanted).map(|larger| larger - n)
}

/// The factor by which the lower half of an interval must shrink to end at the bound.
fn shrinkage(measured: &Measured, bound: f64) -> Option<f64> {
    let (room, width) = (measured.value - bound, measured.value - measured.ci95[0]);
    (room > 0.0 && width > 0.0).then_some(room / width)
}

/// Lower 95 % confidence bound of the sensitivity on new patients, for the highest threshold that reaches
/// `target` on `n` positives.
///
/// That threshold misses `k = floor(n (1 - target))` of them. It is an order statistic: the share of all
/// positives above it follows Beta(n - k, k + 1) for any distribution of scores (Wilks 1941, Annals of
/// Mathematical Statistics 12). The 5 % quantile is the one-sided lower limit of Clopper and Pearson (1934)
/// for `n - k` of `n`.
pub fn sensitivity_lower_bound(target: f64, n: usize) -> f64 {
    // Without the tolerance, 50 x 0.02 rounds down to 0.
    let missed = (n as f64 * (1.0 - target) + 1e-9).floor().max(0.0) as usize;
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if binomial_cdf(missed, n, 1.0 - middle) < 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Probability of at most `k` successes in `n` trials of probability `share`.
fn binomial_cdf(k: usize, n: usize, share: f64) -> f64 {
    let mut logarithm = n as f64 * (1.0 - share).ln();
    let mut sum = logarithm.exp();
    for i in 0..k.min(n) {
        logarithm += ((n - i) as f64 / (i + 1) as f64).ln() + share.ln() - (1.0 - share).ln();
        sum += logarithm.exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use cxr::analysis::scoring::proportion::Proportion;

    fn measured(value: f64, low: f64, n: usize) -> Measured {
        Measured { value, ci95: [low, 1.0], n }
    }

    #[test]
    fn standard_error_matches_hanley_and_mcneil() {
        // Their table II: 51 abnormal and 58 normal images, area 0.893.
        assert!((standard_error(0.893, [58, 51]) - 0.032).abs() < 1e-3);
        assert!(standard_error(1.0, [5, 5]).abs() < 1e-12);
    }

    #[test]
    fn more_of_the_scarce_class_is_needed_and_no_number_is_given_at_the_bound() {
        let auc = measured(0.93, 0.83, 40);
        let [negative, positive] = more_for_auc(&auc, 0.85, [30, 10]).unwrap();
        assert!(positive > negative, "{negative} {positive}");
        let after = standard_error(0.93, [30 + negative, 10 + positive]) / standard_error(0.93, [30, 10]);
        assert!((0.76..=0.8).contains(&after), "0.10 must become 0.08, to one image: {after}");
        assert_eq!(more_for_auc(&auc, 0.93, [30, 10]), None);
        assert_eq!(more_for_auc(&auc, 0.9299, [30, 10]), None);
    }

    #[test]
    fn a_share_needs_as_many_images_as_wilsons_interval_says() {
        // Wilson's interval of 18 of 20 begins at 0.699, of 45 of 50 at 0.786, of 90 of 100 at 0.826.
        let share = |n: usize, low: f64| more_for_share(&measured(0.9, low, n), 0.8).unwrap();
        let more = share(20, Proportion::new(18, 20).ci95[0]);
        assert!((30..80).contains(&more), "{more}");
        assert!(Proportion::new(((20 + more) as f64 * 0.9).round() as usize, 20 + more).ci95[0] > 0.795);
        assert!(share(20, 0.65) > more, "a wider interval than Wilson's needs more");
    }

    #[test]
    fn wilsons_interval_replaces_one_without_width() {
        let all = Measured { value: 1.0, ci95: [1.0, 1.0], n: 14 };
        let (found, method) = with_wider_interval(&all, 20);
        assert_eq!(method, IntervalMethod::Wilson(14));
        for (found, expected) in found.ci95.into_iter().zip(Proportion::new(14, 14).ci95) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        // Two images of one patient are less evidence than images of two patients.
        let (of_patients, method) = with_wider_interval(&all, 7);
        assert_eq!(method, IntervalMethod::Wilson(7));
        assert!(of_patients.ci95[0] < found.ci95[0]);
        let wide = Measured { value: 0.5, ci95: [0.1, 0.9], n: 40 };
        assert_eq!(with_wider_interval(&wide, 20), (wide, IntervalMethod::Bootstrap));
    }

    #[test]
    fn no_number_is_given_just_above_the_bound() {
        let share = Measured { value: 12.0 / 14.0, ci95: Proportion::new(12, 14).ci95, n: 14 };
        assert_eq!(more_for_share(&share, 0.85), None);
        assert!(more_for_share(&share, 0.7).is_some());
    }

    #[test]
    fn few_positives_give_a_low_bound_of_sensitivity() {
        for (n, expected) in [(12, 0.779), (50, 0.909), (100, 0.924), (200, 0.942)] {
            let found = sensitivity_lower_bound(0.97, n);
            assert!((found - expected).abs() < 1e-3, "{n}: {found}");
        }
    }
}
