//! `cxr::analysis::scoring` against scikit-learn (golden values in `data/sklearn.json`, made by `data/make_sklearn.py`), and
//! the properties that no golden value shows.

use cxr::analysis::scoring::bootstrap::interval95;
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::analysis::scoring::reliability::{bins_equal_width, brier, ece};
use cxr::analysis::scoring::roc::{RocCurve, auc};
use cxr::reference::CalibrationBin;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    scores: Vec<f64>,
    labels: Vec<u8>,
    auc: f64,
    roc: Roc,
    at: At,
    brier: f64,
    equal_width: Vec<Reliability>,
}

#[derive(Deserialize)]
struct Roc {
    thresholds: Vec<f64>,
    sensitivity: Vec<f64>,
    false_positive_rate: Vec<f64>,
}

#[derive(Deserialize)]
struct At {
    threshold: f64,
    counts: [u64; 4],
    sensitivity: Option<f64>,
    specificity: Option<f64>,
    precision: Option<f64>,
    f1: Option<f64>,
    accuracy: Option<f64>,
}

#[derive(Deserialize)]
struct Reliability {
    n_bins: usize,
    positive_rate: Vec<f64>,
    mean_probability: Vec<f64>,
    ece: f64,
}

impl Case {
    fn positive(&self) -> Vec<bool> {
        self.labels.iter().map(|label| *label == 1).collect()
    }
}

fn golden() -> Vec<Case> {
    serde_json::from_str(include_str!("data/sklearn.json")).expect("golden values")
}

#[track_caller]
fn assert_close(ours: &[f64], golden: &[f64], what: &str) {
    assert_eq!(ours.len(), golden.len(), "{what}: {ours:?} is not {golden:?}");
    for (a, b) in ours.iter().zip(golden) {
        assert!((a - b).abs() < 1e-12, "{what}: {a} is not {b}");
    }
}

#[test]
fn the_curve_and_its_area_are_scikit_learns() {
    for case in golden() {
        let curve = RocCurve::new(&case.scores, &case.positive()).unwrap();
        assert_close(&[curve.auc()], &[case.auc], &case.name);
        assert_eq!(Some(curve.auc()), auc(&case.scores, &case.positive()));
        let (start, attained) = curve.points().split_first().unwrap();
        assert!(start.threshold.is_infinite() && start.sensitivity + start.false_positive_rate == 0.0);
        assert_close(
            &attained.iter().map(|p| p.threshold).collect::<Vec<_>>(),
            &case.roc.thresholds,
            &case.name,
        );
        assert_close(
            &curve.points().iter().map(|p| p.sensitivity).collect::<Vec<_>>(),
            &case.roc.sensitivity,
            &case.name,
        );
        assert_close(
            &curve.points().iter().map(|p| p.false_positive_rate).collect::<Vec<_>>(),
            &case.roc.false_positive_rate,
            &case.name,
        );
    }
}

#[test]
fn counts_and_ratios_at_a_threshold_are_scikit_learns() {
    for case in golden() {
        let m = ConfusionMatrix::at(&case.scores, &case.positive(), case.at.threshold);
        let counts = [m.true_positives, m.false_positives, m.true_negatives, m.false_negatives];
        assert_eq!(counts, case.at.counts, "{}", case.name);
        let ours = [m.sensitivity(), m.specificity(), m.precision(), m.f1(), m.accuracy()];
        let at = &case.at;
        let golden = [at.sensitivity, at.specificity, at.precision, at.f1, at.accuracy];
        for (a, b) in ours.iter().zip(&golden) {
            assert_eq!(a.is_some(), b.is_some(), "{}: {ours:?} is not {golden:?}", case.name);
            assert_close(&[a.unwrap_or(0.0)], &[b.unwrap_or(0.0)], &case.name);
        }
    }
}

#[test]
fn calibration_figures_are_scikit_learns() {
    for case in golden() {
        let positive = case.positive();
        assert_close(&[brier(&case.scores, &positive)], &[case.brier], &case.name);
        for reliability in &case.equal_width {
            let bins = bins_equal_width(&case.scores, &positive, reliability.n_bins);
            assert_eq!(bins.iter().map(|bin| bin.n).sum::<usize>(), case.scores.len());
            assert_close(&[ece(&bins)], &[reliability.ece], &case.name);
            let filled: Vec<_> = bins.iter().filter(|bin| bin.n > 0).collect();
            let rates: Vec<f64> = filled.iter().map(|bin| bin.positive_rate).collect();
            let means: Vec<f64> = filled.iter().map(|bin| bin.mean_probability).collect();
            assert_close(&rates, &reliability.positive_rate, &case.name);
            assert_close(&means, &reliability.mean_probability, &case.name);
            // A mean of equal values may round one unit past them.
            let encloses =
                |bin: &CalibrationBin| (bin.low - 1e-15..bin.high + 1e-15).contains(&bin.mean_probability);
            assert!(filled.iter().all(|bin| encloses(bin)), "{}: {filled:?}", case.name);
        }
    }
}

#[test]
fn equal_width_bins_are_open_below_and_closed_above() {
    let edges: Vec<f64> = (0..=10).map(|i| f64::from(i) / 10.0).collect();
    let n: Vec<usize> = bins_equal_width(&edges, &[true; 11], 10).iter().map(|bin| bin.n).collect();
    assert_eq!(n, [2, 1, 1, 1, 1, 1, 1, 1, 1, 1], "0 joins the first bin, every other edge the bin below it");
}

#[test]
fn operating_points_are_the_ones_asked_for() {
    let scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2];
    let positive = [true, true, false, true, false, true, false, false];
    let curve = RocCurve::new(&scores, &positive).unwrap();
    // J is 1/2 at 0.8, 0.6 and 0.4 alike: the strictest of them.
    assert!((curve.youden().threshold - 0.8).abs() < f64::EPSILON);
    for (target, threshold) in
        [(0.0, 0.9), (0.5, 0.8), (0.51, 0.6), (0.75, 0.6), (1.0, 0.4), (1.5, 0.2), (f64::NAN, 0.2)]
    {
        let point = curve.at_sensitivity(target);
        assert!((point.threshold - threshold).abs() < f64::EPSILON, "{target}: {point:?}");
        let matrix = ConfusionMatrix::at(&scores, &positive, point.threshold);
        assert_eq!(matrix.sensitivity(), Some(point.sensitivity));
        assert_eq!(matrix.specificity(), Some(1.0 - point.false_positive_rate));
    }
    let uninformative = RocCurve::new(&[0.5; 4], &[true, false, true, false]).unwrap();
    assert!(uninformative.youden().threshold.is_finite());
}

#[test]
fn auc_depends_on_the_order_of_the_scores_only() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..50 {
        // Sixteenths: ties are frequent, and every map below is exact and keeps them.
        let n = rng.random_range(10..200);
        let scores: Vec<f64> = (0..n).map(|_| f64::from(rng.random_range(-16_i32..=16)) / 16.0).collect();
        let positive: Vec<bool> = (0..n).map(|i| i == 0 || i != 1 && rng.random()).collect();
        let area = auc(&scores, &positive).unwrap();
        let mapped =
            |f: fn(f64) -> f64| auc(&scores.iter().map(|s| f(*s)).collect::<Vec<_>>(), &positive).unwrap();
        assert!((0.0..=1.0).contains(&area));
        for same in [mapped(|s| 3.0 * s - 7.0), mapped(|s| s * s * s), mapped(f64::exp)] {
            assert!((same - area).abs() < 1e-15);
        }
        assert!((mapped(|s| 1.0 - s) + area - 1.0).abs() < 1e-15);
        let by_pairs = area_by_all_pairs(&scores, &positive);
        assert!((by_pairs - area).abs() < 1e-12, "{by_pairs} pairwise, {area} by rank");
    }
}

fn area_by_all_pairs(scores: &[f64], positive: &[bool]) -> f64 {
    let of = |class: bool| scores.iter().zip(positive).filter(move |(_, y)| **y == class).map(|(s, _)| *s);
    let wins: f64 = of(true)
        .flat_map(|p| {
            of(false).map(move |n| {
                if p > n {
                    1.0
                } else if p < n {
                    0.0
                } else {
                    0.5
                }
            })
        })
        .sum();
    wins / (of(true).count() * of(false).count()) as f64
}

/// `n_patients` patients of `n_images` images; with `same`, a patient's images all score alike.
fn cohort(seed: u64, n_patients: usize, n_images: usize, same: bool) -> (Vec<usize>, Vec<f64>, Vec<bool>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut groups, mut scores, mut positive) = (vec![], vec![], vec![]);
    for patient in 0..n_patients {
        let y = patient % 3 == 0;
        let mut noise: f64 = rng.random();
        for _ in 0..n_images {
            groups.push(patient);
            scores.push(noise + if y { 0.3 } else { 0.0 });
            positive.push(y);
            noise = if same { noise } else { rng.random() };
        }
    }
    (groups, scores, positive)
}

fn auc_interval((groups, scores, positive): &(Vec<usize>, Vec<f64>, Vec<bool>)) -> [f64; 2] {
    let statistic = |images: &[usize]| {
        let s: Vec<f64> = images.iter().map(|i| scores[*i]).collect();
        let y: Vec<bool> = images.iter().map(|i| positive[*i]).collect();
        auc(&s, &y)
    };
    interval95(groups, 400, 42, statistic).expect("most resamples hold both classes")
}

#[test]
fn an_interval_covers_the_estimate_and_widens_with_less_independent_data() {
    let width = |[low, high]: [f64; 2]| high - low;
    for seed in 0..5 {
        let many = cohort(seed, 200, 3, false);
        let [low, high] = auc_interval(&many);
        let estimate = auc(&many.1, &many.2).unwrap();
        assert!(low < estimate && estimate < high, "{estimate} outside {low}..{high}");
        let again = auc_interval(&many).map(f64::to_bits);
        assert_eq!(again, [low.to_bits(), high.to_bits()], "the same seed gives the same interval");
        assert!(width(auc_interval(&cohort(seed, 40, 3, false))) > 1.5 * (high - low), "fewer patients");
        assert!(
            width(auc_interval(&cohort(seed, 200, 3, true))) > 1.2 * (high - low),
            "images of a patient alike"
        );
        let mut ungrouped = cohort(seed, 200, 3, true);
        let clustered = auc_interval(&ungrouped);
        ungrouped.0 = (0..600).collect();
        assert!(width(clustered) > 1.2 * width(auc_interval(&ungrouped)), "patients, not images, are drawn");
    }
}

#[test]
fn the_interval_of_a_mean_is_the_textbooks() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let values: Vec<f64> = (0..1000).map(|_| rng.random()).collect();
    let mean = |images: &[usize]| Some(images.iter().map(|i| values[*i]).sum::<f64>() / images.len() as f64);
    let groups: Vec<usize> = (0..1000).collect();
    let [low, high] = interval95(&groups, 2000, 1, mean).unwrap();
    let textbook = 2.0 * 1.96 * (1.0 / 12.0_f64).sqrt() / 1000.0_f64.sqrt();
    assert!(((high - low) / textbook - 1.0).abs() < 0.1, "{} against {textbook}", high - low);
}

#[test]
fn undefined_resamples_are_skipped_until_they_are_the_majority() {
    let groups = [0, 1];
    // A quarter of the resamples draw patient 0 twice, a half draws both.
    let only = |wanted: &'static [usize]| move |i: &[usize]| wanted.contains(&i.iter().sum()).then_some(1.0);
    assert_eq!(interval95(&groups, 1000, 0, only(&[1, 2])), Some([1.0, 1.0]));
    assert_eq!(interval95(&groups, 1000, 0, only(&[0])), None);
    assert_eq!(interval95(&groups, 1000, 0, |_| Some(f64::NAN)), None);
    assert_eq!(interval95(&groups, 0, 0, |_| Some(1.0)), None);
    assert_eq!(interval95(&[5, 5, 5], 10, 0, |_| Some(1.0)), None);
    assert_eq!(interval95(&[], 10, 0, |_| Some(1.0)), None);
}

#[test]
fn input_that_cannot_be_judged_gives_undefined_and_never_a_number() {
    let both = [true, false];
    let bad: [(&[f64], &[bool]); 5] = [
        (&[], &[]),
        (&[0.5], &both),
        (&[f64::NAN, 0.5], &both),
        (&[0.5, f64::INFINITY], &both),
        (&[0.5; 3], &both),
    ];
    for (scores, positive) in bad {
        assert_eq!(auc(scores, positive), None);
        assert_eq!(RocCurve::new(scores, positive), None);
        let matrix = ConfusionMatrix::at(scores, positive, 0.5);
        assert_eq!((matrix, matrix.accuracy(), matrix.f1()), (ConfusionMatrix::default(), None, None));
        assert!(brier(scores, positive).is_nan());
        assert!(ece(&bins_equal_width(scores, positive, 10)).is_nan());
    }
    assert_eq!(auc(&[0.1, 0.2], &[true, true]), None);
    assert!(brier(&[1.1, 0.5], &both).is_nan());
    assert!(bins_equal_width(&[-0.1, 0.5], &both, 10).is_empty());
    assert!(bins_equal_width(&[0.5, 0.5], &both, 0).is_empty());
    assert_eq!(ConfusionMatrix::at(&[0.5, 0.5], &both, f64::NAN), ConfusionMatrix::default());
}
