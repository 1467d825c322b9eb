//! Properties of the figures: what they cover, what they refuse, and what hostile labels cannot do.

use super::Scored;
use super::cohort::{Cohort, Drawn, label_report};
use super::estimate::{Basis, Known, estimate};
use super::guard::Guard;
use super::labelled::{calibration, realised};
use super::logistic::{logit, sigmoid};
use super::sample::{Plan, draw};
use crate::observation::{LabelledObservation, Score};
use crate::quantity::Group;
use crate::snapshot::{EstimateStatus, Figure};
use crate::stream::Model;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const THRESHOLD: f64 = 0.6;

/// Images with classes that the probabilities are right about, if the log odds are shifted by `wrong`.
fn images(n: u64, prevalence: f64, wrong: f64, rng: &mut ChaCha8Rng) -> Vec<(Scored, bool)> {
    let normal = |rng: &mut ChaCha8Rng| (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
    (0..n)
        .map(|i| {
            let positive = rng.random::<f64>() < prevalence;
            // Normal classes with means -1.5 and 1.5: the log odds at equal shares are three times the value.
            let log_odds = 3.0 * (normal(rng) + if positive { 1.5 } else { -1.5 }) + wrong;
            (scored(sigmoid(log_odds), 1.0, i), positive)
        })
        .collect()
}

fn scored(probability: f64, ood_score: f64, patient_day: u64) -> Scored {
    Scored { probability, threshold: THRESHOLD, ood_score, coordinates: vec![0.0; 2], patient_day }
}

fn known(images: &[(Scored, bool)]) -> Vec<Known> {
    images
        .iter()
        .map(|(scored, positive)| Known { scored: scored.clone(), positive: *positive, weight: 1.0 })
        .collect()
}

fn basis<'a>(bundle: &'a [Known], local: &'a [Known]) -> Basis<'a> {
    Basis { bundle, base_rate: 0.5, local, in_alarm: &[], guard: Some(Guard::new(2.0, 50, 5000)) }
}

fn truth(images: &[(Scored, bool)]) -> BTreeMap<String, f64> {
    let share = |class: Option<bool>| {
        let of: Vec<bool> = images
            .iter()
            .filter(|(_, y)| class.is_none_or(|class| class == *y))
            .map(|(s, y)| s.is_flagged() == *y)
            .collect();
        of.iter().filter(|right| **right).count() as f64 / of.len() as f64
    };
    [("sensitivity", share(Some(true))), ("specificity", share(Some(false))), ("accuracy", share(None))]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// Share of repetitions in which the interval of each figure contains the truth.
fn coverage(mut repetition: impl FnMut(u64) -> Vec<(Figure, f64)>, n: u64) -> Vec<f64> {
    let mut hits: Vec<f64> = Vec::new();
    for seed in 0..n {
        for (i, (figure, truth)) in repetition(seed).into_iter().enumerate() {
            hits.resize(hits.len().max(i + 1), 0.0);
            hits[i] += f64::from(u8::from((figure.low..=figure.high).contains(&truth))) / n as f64;
        }
    }
    hits
}

#[test]
fn estimates_cover_with_local_labels_where_the_bundle_is_wrong_and_the_prior_moved() {
    let found = coverage(
        |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let local = known(&images(300, 0.5, -1.5, &mut rng));
            let window = images(400, 0.3, -1.5, &mut rng);
            let report =
                estimate(&window.iter().map(|(s, _)| s.clone()).collect::<Vec<_>>(), &basis(&[], &local));
            assert_eq!((report.status, &*report.method), (EstimateStatus::Ok, "cbpe_recalibrated"));
            truth(&window).into_iter().map(|(name, value)| (report.figures[&name], value)).collect()
        },
        100,
    );
    assert!(found.iter().all(|share| *share >= 0.9), "{found:?}");
}

#[test]
fn estimates_without_local_labels_allow_for_a_site_that_differs() {
    let found = coverage(
        |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let bundle = known(&images(500, 0.5, 0.0, &mut rng));
            let window = images(400, 0.4, 0.7, &mut rng);
            let report =
                estimate(&window.iter().map(|(s, _)| s.clone()).collect::<Vec<_>>(), &basis(&bundle, &[]));
            assert_eq!((report.status, &*report.method), (EstimateStatus::Ok, "cbpe"));
            truth(&window).into_iter().map(|(name, value)| (report.figures[&name], value)).collect()
        },
        100,
    );
    assert!(found.iter().all(|share| *share >= 0.9), "{found:?}");
}

#[test]
fn estimates_are_withheld_and_bounded_when_images_are_out_of_distribution() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut window: Vec<Scored> = images(400, 0.5, 0.0, &mut rng).into_iter().map(|(s, _)| s).collect();
    for image in window.iter_mut().skip(200).step_by(2) {
        image.ood_score = f64::MAX;
    }
    let report = estimate(&window, &basis(&[], &[]));
    assert_eq!(report.status, EstimateStatus::Withheld);
    assert!(report.figures.is_empty() && report.reason.unwrap().contains("out of distribution"));
    assert!((0.6..0.8).contains(&report.worst_case["accuracy"]), "{:?}", report.worst_case);
    let drifted = Basis { in_alarm: &[Group::Inputs, Group::Score], ..basis(&[], &[]) };
    assert!(estimate(&window[..200], &drifted).reason.unwrap().contains("drift of score"));
    let harmless = Basis { in_alarm: &[Group::Inputs], ..basis(&[], &[]) };
    assert_eq!(estimate(&window[..200], &harmless).status, EstimateStatus::Ok);
    assert_eq!(estimate(&window[..9], &basis(&[], &[])).status, EstimateStatus::Insufficient);
    assert_eq!(estimate(&[], &basis(&[], &[])).status, EstimateStatus::Insufficient);
}

#[test]
fn the_guard_finds_harm_within_fifty_images_and_practically_never_errs() {
    for (n_out, n, harmful) in [(50, 5000, 0.4), (15, 5000, 0.4), (2, 528, 0.65)] {
        let base = n_out as f64 / n as f64;
        let mut rng = ChaCha8Rng::seed_from_u64(n_out);
        let run = |share: f64, most: u64, rng: &mut ChaCha8Rng| {
            let mut guard = Guard::new(1.0, n_out, n);
            (1..=most).find(|_| guard.observe(if rng.random::<f64>() < share { 1.5 } else { 0.5 }))
        };
        let late = (0..2000).filter(|_| run(harmful, 50, &mut rng).is_none()).count();
        assert!(late <= 2, "{n_out} of {n}: {late} of 2,000 harmful windows were found late");
        assert!(run(base, 1_000_000, &mut rng).is_none(), "{n_out} of {n}: withheld without a change");
    }
}

#[test]
fn reweighting_follows_the_images_where_calibration_depends_on_them() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    // One kind of image is calibrated, the other is not. The labels hold mostly the first, the window the
    // second.
    let mut mixed = |n: u64, share_wrong: f64| -> Vec<(Scored, bool)> {
        (0..n)
            .map(|i| {
                let is_wrong = rng.random::<f64>() < share_wrong;
                let log_odds = 8.0 * (rng.random::<f64>() - 0.5);
                let positive = rng.random::<f64>() < sigmoid(log_odds - if is_wrong { 2.5 } else { 0.0 });
                let mut image = scored(sigmoid(log_odds), 1.0, i);
                image.coordinates = vec![if is_wrong { 2.0 } else { -2.0 }, 0.0];
                (image, positive)
            })
            .collect()
    };
    let (local, window) = (mixed(3000, 0.2), mixed(3000, 0.8));
    let (local, window_images) = (known(&local), window.iter().map(|(s, _)| s.clone()).collect::<Vec<_>>());
    let found = estimate(&window_images, &basis(&[], &local));
    assert_eq!(found.method, "cbpe_reweighted");
    let few: Vec<Known> = local.iter().take(300).cloned().collect();
    let plain = estimate(&window_images, &basis(&[], &few));
    let truth = truth(&window)["accuracy"];
    let error = |report: &crate::snapshot::EstimateReport| (report.figures["accuracy"].value - truth).abs();
    assert!(error(&found) < 0.5 * error(&plain), "{} {}", error(&found), error(&plain));
}

const NOON: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn cohort(n_images: u64) -> Cohort {
    Cohort { from: NOON, to: NOON + Duration::days(30), known_within: Duration::days(14), n_images }
}

fn label(position: u64, (scored, positive): &(Scored, bool), pi: Option<f64>) -> LabelledObservation {
    let model = Model { version: "1".into(), digest: "00".into(), variant: "fp32".into() };
    LabelledObservation {
        position,
        prediction_id: Uuid::from_u128(u128::from(scored.patient_day)),
        received_at: NOON + Duration::days(1),
        recorded_at: NOON + Duration::days(3),
        site: "a".into(),
        view: None,
        patient_day: scored.patient_day,
        is_repeat: false,
        score: Score {
            model: Arc::new(model),
            probability: scored.probability,
            threshold: scored.threshold,
            ood_score: scored.ood_score,
            coordinates: Vec::new(),
            review_required: false,
        },
        positive: *positive,
        is_correction: false,
        inclusion_probability: pi,
    }
}

#[test]
fn a_drawn_sample_undoes_selective_labels() {
    let (n_repetitions, plan) = (200, Plan { near_from: 0.2, near: 0.5, far: 0.1 });
    let mut naive_sensitivity = 0.0;
    let found = coverage(
        |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let all = images(4000, 0.3, 1.0, &mut rng);
            let labels: Vec<LabelledObservation> = all
                .iter()
                .enumerate()
                .filter_map(|(i, image)| {
                    let (_, pi) = plan.stratum(image.0.probability, THRESHOLD, image.0.is_flagged());
                    draw(&seed.to_le_bytes(), Uuid::from_u128(i as u128), pi)
                        .then(|| label(i as u64, image, Some(pi)))
                })
                .collect();
            let report = realised(&cohort(4000), &labels, &BTreeMap::new(), Vec::new());
            assert_eq!(report.status, EstimateStatus::Ok);
            naive_sensitivity += report.unweighted["sensitivity"].value / n_repetitions as f64;
            truth(&images(200_000, 0.3, 1.0, &mut ChaCha8Rng::seed_from_u64(999)))
                .into_iter()
                .map(|(name, value)| (report.figures[&name], value))
                .collect()
        },
        n_repetitions,
    );
    assert!(found.iter().all(|share| *share >= 0.92), "{found:?}");
    let truth = truth(&images(200_000, 0.3, 1.0, &mut ChaCha8Rng::seed_from_u64(999)));
    assert!(naive_sensitivity > truth["sensitivity"] + 0.005, "{naive_sensitivity} {truth:?}");
}

#[test]
fn reviewed_images_alone_give_no_figures_of_misses() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let all = images(1000, 0.5, 0.0, &mut rng);
    let reviewed: Vec<LabelledObservation> = all
        .iter()
        .enumerate()
        .filter(|(_, (scored, _))| scored.is_flagged())
        .map(|(i, image)| label(i as u64, image, Some(1.0)))
        .collect();
    let report = realised(&cohort(1000), &reviewed, &BTreeMap::new(), Vec::new());
    assert_eq!(report.status, EstimateStatus::Insufficient);
    assert!(report.figures.is_empty() && report.reason.unwrap().contains("drawn negatives"));
    assert_eq!(calibration(&cohort(1000), &reviewed, None).status, EstimateStatus::Insufficient);
}

#[test]
fn hostile_labels_change_nothing_but_their_counts() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let all = images(400, 0.5, 0.0, &mut rng);
    let honest: Vec<LabelledObservation> =
        all.iter().enumerate().map(|(i, image)| label(i as u64, image, None)).collect();
    let clean = realised(&cohort(400), &honest, &BTreeMap::new(), Vec::new());
    assert_eq!(clean.status, EstimateStatus::Ok);
    assert!((clean.figures["accuracy"].value - truth(&all)["accuracy"]).abs() < 1e-12);
    // One actor says the opposite of ten images, a thousand times each, some of them in 1895.
    let mut spam = honest.clone();
    for i in 0..10_000u64 {
        let (scored, positive) = &all[i as usize % 10];
        let mut lie = label(400 + i, &(scored.clone(), !positive), Some(f64::NAN));
        lie.is_correction = true;
        if i % 3 == 0 {
            lie.received_at = time::macros::datetime!(1895-11-08 12:00 UTC);
        }
        lie.recorded_at = time::macros::datetime!(1895-11-08 12:00 UTC);
        spam.push(lie);
    }
    let found = realised(&cohort(400), &spam, &BTreeMap::new(), Vec::new());
    assert_eq!((&found.figures, found.n_corrected), (&clean.figures, 10));
    assert!(found.revised["accuracy"].value < clean.revised["accuracy"].value);
    let counts = label_report(&cohort(400), &spam, &[]);
    assert!(counts.coverage <= 1.0 && counts.median_delay_s == Some(2.0 * 86_400.0));
}

#[test]
fn few_labels_and_one_class_give_no_figure_and_no_panic() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let positives: Vec<(Scored, bool)> =
        images(800, 0.5, 0.0, &mut rng).into_iter().filter(|(_, positive)| *positive).collect();
    for n in [0, 1, 2, positives.len()] {
        let labels: Vec<LabelledObservation> =
            positives[..n].iter().enumerate().map(|(i, image)| label(i as u64, image, None)).collect();
        let report = realised(&cohort(n as u64), &labels, &BTreeMap::new(), Vec::new());
        assert_eq!(report.status, EstimateStatus::Insufficient);
        assert!(!report.figures.contains_key("accuracy") && !report.figures.contains_key("auc"));
        assert_eq!(report.figures.contains_key("sensitivity"), n >= 50);
        let calibration = calibration(&cohort(n as u64), &labels, None);
        assert!(calibration.ece.is_none() && calibration.brier.is_none());
        let json = serde_json::to_string(&(report, calibration)).unwrap();
        assert!(!json.contains("NaN"), "{json}");
    }
    let unread = Drawn { received_at: NOON, is_read: false };
    let counts = label_report(&cohort(0), &[], &[unread, Drawn { is_read: true, ..unread }]);
    assert_eq!((counts.coverage, counts.n_unread, counts.oldest_unread_at), (0.0, 1, Some(NOON)));
}

#[test]
fn calibration_comes_with_intervals() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let labels = |wrong: f64, rng: &mut ChaCha8Rng| -> Vec<LabelledObservation> {
        let all = images(1000, 0.5, wrong, rng);
        all.iter().enumerate().map(|(i, image)| label(i as u64, image, None)).collect()
    };
    let good = calibration(&cohort(1000), &labels(0.0, &mut rng), None);
    let bad = calibration(&cohort(1000), &labels(2.0, &mut rng), None);
    assert_eq!((good.status, bad.status), (EstimateStatus::Ok, EstimateStatus::Ok));
    let (good_bias, bad_bias) = (good.bias.unwrap(), bad.bias.unwrap());
    assert!(good_bias.low < 0.0 && good_bias.high > 0.0 && bad_bias.high < 0.0);
    assert!(good.ece.unwrap().low < 0.02 && bad.ece.unwrap().low > 0.02);
    assert!(bad.brier.unwrap().low > good.brier.unwrap().value);
}

#[test]
fn the_draw_is_uniform_and_its_strata_are_those_of_the_score() {
    let n = 20_000;
    for pi in [0.05, 0.2, 0.9] {
        let drawn = (0..n).filter(|i| draw(b"key", Uuid::from_u128(*i), pi)).count() as f64;
        let z = (drawn - n as f64 * pi) / (n as f64 * pi * (1.0 - pi)).sqrt();
        assert!(z.abs() < 3.5, "{pi}: {z}");
    }
    let id = Uuid::from_u128(7);
    assert!(draw(b"key", id, 1.0) && !draw(b"key", id, 0.0));
    let agree = (0..n).filter(|i| {
        let id = Uuid::from_u128(*i);
        draw(b"key", id, 0.5) == draw(b"another", id, 0.5)
    });
    assert!((agree.count() as f64 / n as f64 - 0.5).abs() < 0.02, "another key draws another sample");
    let plan = Plan::default();
    assert_eq!(plan.stratum(0.9, 0.6, true), ("reviewed", 1.0));
    assert_eq!(plan.stratum(0.5, 0.6, false), ("near", plan.near));
    assert_eq!(plan.stratum(0.1, 0.6, false), ("far", plan.far));
    assert!(logit(0.0).is_finite() && logit(1.0).is_finite());
}
