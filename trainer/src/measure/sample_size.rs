//! Sample size: how many more images an interval needs, and how certain an operating point is.

use cxr::bundle::Measured;

/// Images of each class: negative, positive.
pub type Classes = [usize; 2];

/// Beyond this many times the images at hand an estimate is of no use: the figure lies on the bound itself.
const MOST: usize = 20;

/// Standard normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// How an interval came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Resampled patients.
    Bootstrap,
    /// Wilson's score interval on so many images, or patients where those are fewer.
    Wilson(usize),
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bootstrap => write!(f, "bootstrap"),
            Self::Wilson(n) => write!(f, "Wilson, n {n}"),
        }
    }
}

/// Wilson's 95 % score interval (1927) of a share of `n`, as in `cxr::analysis::scoring::proportion`, for a share that need not be a whole number
/// of `n`.
fn wilson(share: f64, n: usize) -> [f64; 2] {
    let n = n as f64;
    let scale = 1.0 + Z * Z / n;
    let centre = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (share * (1.0 - share) / n + (Z / (2.0 * n)).powi(2)).sqrt();
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

/// A share with the wider of two intervals: the measured one, from resampling, and Wilson's on the images, or on the patients where they
/// are fewer. Resampling 14 of 14 gives nothing but 14 of 14, although 11 of 14 would be no surprise.
pub fn wider(share: &Measured, patients: usize) -> (Measured, Method) {
    let n = share.n.min(patients).max(1);
    let [low, high] = wilson(share.value, n);
    if high - low > share.ci95[1] - share.ci95[0] {
        (Measured { ci95: [low, high], ..*share }, Method::Wilson(n))
    } else {
        (*share, Method::Bootstrap)
    }
}

/// Standard error of an area under the ROC curve (Hanley and McNeil 1982, Radiology 143): with `Q1 = A / (2 - A)` and
/// `Q2 = 2 A^2 / (1 + A)` its square is `(A (1 - A) + (n1 - 1) (Q1 - A^2) + (n0 - 1) (Q2 - A^2)) / (n0 n1)`, for `n1` positives
/// and `n0` negatives.
pub fn standard_error(auc: f64, [negative, positive]: Classes) -> f64 {
    let (q1, q2) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
    let (n0, n1) = (negative as f64, positive as f64);
    let sum = auc * (1.0 - auc) + (n1 - 1.0) * (q1 - auc * auc) + (n0 - 1.0) * (q2 - auc * auc);
    (sum.max(0.0) / (n0 * n1)).sqrt()
}

/// How many more images of each class would lift the lower end of an area's interval to the bound, if the area stays what it
/// is. The interval is taken to shrink as [`standard_error`] does, from the width that was measured: that one knows how many
/// images a patient has. Each image is added to the class that narrows the interval more.
///
/// None where the area does not lie above the bound, or so little that no sensible number of images would show it.
pub fn more_for_auc(auc: &Measured, bound: f64, n: Classes) -> Option<Classes> {
    let wanted = standard_error(auc.value, n) * shrinkage(auc, bound)?;
    let mut found = n;
    while standard_error(auc.value, found) > wanted {
        if found[0] + found[1] > MOST * (n[0] + n[1]) {
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

/// How many more images would lift the lower end of a share's interval to the bound, if the share stays what it is. The interval
/// is taken to shrink as Wilson's does (1927; `cxr::analysis::scoring::proportion`), from the width that was measured.
///
/// None as for [`more_for_auc`].
pub fn more_for_share(share: &Measured, bound: f64) -> Option<usize> {
    let n = share.n;
    let below = |n: usize| share.value - wilson(share.value, n)[0];
    let wanted = below(n) * shrinkage(share, bound)?;
    (n..=MOST * n).find(|larger| below(*larger) <= wanted).map(|larger| larger - n)
}

/// By which factor the part of an interval below its value must shrink to end at the bound.
fn shrinkage(measured: &Measured, bound: f64) -> Option<f64> {
    let (room, width) = (measured.value - bound, measured.value - measured.ci95[0]);
    (room > 0.0 && width > 0.0).then_some(room / width)
}

/// The sensitivity that a threshold has on new patients at least, with 95 % confidence, when it was chosen as the highest that
/// reaches `target` on `n` positives.
///
/// The rule misses `k = floor(n (1 - target))` of them: its threshold is an order statistic, above which the share of all
/// positives is distributed as Beta(n - k, k + 1) whatever their scores are (Wilks 1941, Annals of Mathematical Statistics 12).
/// Its 5 % quantile is the one-sided lower limit of Clopper and Pearson (1934) for `n - k` of `n`.
pub fn least_sensitivity(target: f64, n: usize) -> f64 {
    // The tolerance keeps 50 x 0.02 from being 0.99999.
    let missed = (n as f64 * (1.0 - target) + 1e-9).floor().max(0.0) as usize;
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if at_most(missed, n, 1.0 - middle) < 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Probability of at most `k` successes in `n` trials of probability `share`.
fn at_most(k: usize, n: usize, share: f64) -> f64 {
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
    fn the_error_is_hanleys_and_mcneils() {
        // Their table II: 51 abnormal and 58 normal images, area 0.893.
        assert!((standard_error(0.893, [58, 51]) - 0.032).abs() < 1e-3);
        assert!(standard_error(1.0, [5, 5]).abs() < 1e-12);
    }

    #[test]
    fn the_scarce_class_is_asked_for_and_a_figure_at_the_bound_needs_more_than_can_be_said() {
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
    fn an_interval_without_width_gives_way_to_wilsons() {
        let all = Measured { value: 1.0, ci95: [1.0, 1.0], n: 14 };
        let (found, method) = wider(&all, 20);
        assert_eq!(method, Method::Wilson(14));
        for (found, expected) in found.ci95.into_iter().zip(Proportion::new(14, 14).ci95) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        // Two images a patient say less than as many patients do.
        let (of_patients, method) = wider(&all, 7);
        assert_eq!(method, Method::Wilson(7));
        assert!(of_patients.ci95[0] < found.ci95[0]);
        let wide = Measured { value: 0.5, ci95: [0.1, 0.9], n: 40 };
        assert_eq!(wider(&wide, 20), (wide, Method::Bootstrap));
    }

    #[test]
    fn a_figure_within_a_hair_of_the_bound_names_no_number() {
        let share = Measured { value: 12.0 / 14.0, ci95: Proportion::new(12, 14).ci95, n: 14 };
        assert_eq!(more_for_share(&share, 0.85), None);
        assert!(more_for_share(&share, 0.7).is_some());
    }

    #[test]
    fn few_positives_choose_a_loose_threshold() {
        for (n, expected) in [(12, 0.779), (50, 0.909), (100, 0.924), (200, 0.942)] {
            let found = least_sensitivity(0.97, n);
            assert!((found - expected).abs() < 1e-3, "{n}: {found}");
        }
    }
}
