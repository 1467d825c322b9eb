//! Delays and false alarms of the detectors that need labels.

use super::scores::Fold;
use monitoring::calibration::CalibrationDetector;
use monitoring::misses::{Error, Promise, RateDetector};
use monitoring::observation::{LabelledObservation, Score};
use monitoring::performance::Scored;
use monitoring::stream::Model;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fmt::Write;
use std::sync::Arc;
use time::OffsetDateTime;
use uuid::Uuid;

/// Labels between two false alarms.
const THRESHOLD: f64 = 1000.0;
const RUNS: usize = 1000;
const MOST: u64 = 50_000;

pub(super) fn tables(windows: &Fold) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut text = format!(
        "\n### Detectors with labels\n\nOne false alarm in {THRESHOLD} labels is the budget; {RUNS} runs each.\n\n| detector | change | labels until the alarm, median | 90th percentile | mean |\n|---|---|---|---|---|\n"
    );
    let promise = Promise { threshold: THRESHOLD, ..Promise::default() };
    for (name, error) in [("misses", Error::Miss), ("false_positives", Error::FalsePositive)] {
        for share in [0.05, 0.1, 0.15] {
            let runs = (0..RUNS).map(|_| {
                let mut detector = RateDetector::new(error, &promise);
                run(|| {
                    let is_error = rng.random::<f64>() < share;
                    let positive = error == Error::Miss;
                    let probability = f64::from(u8::from(positive != is_error));
                    detector.observe(&label(&scored(probability), positive), true);
                    detector.evidence().is_in_alarm()
                })
            });
            row(&mut text, name, &format!("5 % to {:.0} %", 100.0 * share), runs.collect());
        }
    }
    let images = windows.clean();
    for (change, intercept) in [
        ("none: classes drawn from the probabilities", Some(0.0)),
        ("intercept -1.5", Some(-1.5)),
        ("the windows' own labels", None),
    ] {
        let runs = (0..RUNS).map(|_| {
            let mut detector = CalibrationDetector::new(THRESHOLD);
            run(|| {
                let image = &images[rng.random_range(0..images.len())];
                let p = image.scored.probability.clamp(1e-9, 1.0 - 1e-9);
                let drawn = |intercept: f64| 1.0 / (1.0 + (1.0 - p) / p * (-intercept).exp());
                let positive = intercept.map_or(image.positive, |by| rng.random::<f64>() < drawn(by));
                detector.observe(&label(&image.scored, positive), true);
                detector.evidence().is_in_alarm()
            })
        });
        row(&mut text, CalibrationDetector::NAME, change, runs.collect());
    }
    text
}

/// Labels until the alarm.
fn run(mut step: impl FnMut() -> bool) -> u64 {
    (1..=MOST).find(|_| step()).unwrap_or(MOST)
}

fn row(text: &mut String, detector: &str, change: &str, mut runs: Vec<u64>) {
    runs.sort_unstable();
    let mean = runs.iter().sum::<u64>() as f64 / RUNS as f64;
    let at = |run: u64| if run == MOST { format!("over {MOST}") } else { run.to_string() };
    let _ = writeln!(
        text,
        "| {detector} | {change} | {} | {} | {mean:.0} |",
        at(runs[RUNS / 2]),
        at(runs[RUNS * 9 / 10])
    );
}

fn scored(probability: f64) -> Scored {
    Scored { probability, threshold: 0.5, ood_score: 1.0, coordinates: Vec::new(), patient_day: 0 }
}

fn label(scored: &Scored, positive: bool) -> LabelledObservation {
    let at = OffsetDateTime::UNIX_EPOCH;
    let model = Model { version: String::new(), digest: String::new(), variant: String::new() };
    LabelledObservation {
        position: 0,
        prediction_id: Uuid::nil(),
        received_at: at,
        recorded_at: at,
        site: "study".into(),
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
        positive,
        is_correction: false,
        inclusion_probability: Some(1.0),
    }
}
