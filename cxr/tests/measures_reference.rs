//! Average precision, log loss, balanced accuracy, Matthews' correlation, the negative class, DeLong and
//! isotonic regression against scikit-learn and against DeLong's definition over all pairs (golden values in
//! `data/measures.json`, made by `data/make_measures.py`).

use cxr::analysis::calibration::isotonic::IsotonicCalibration;
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::analysis::scoring::delong::DeLong;
use cxr::analysis::scoring::precision_recall::average_precision;
use cxr::analysis::scoring::reliability::log_loss;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    scores: Vec<f64>,
    labels: Vec<u8>,
    threshold: f64,
    average_precision: f64,
    log_loss: f64,
    balanced_accuracy: f64,
    mcc: f64,
    negative: [f64; 3],
    delong: [f64; 2],
    isotonic: Vec<f64>,
}

#[track_caller]
fn assert_close(ours: Option<f64>, golden: f64, what: &str) {
    let ours = ours.unwrap_or(f64::NAN);
    assert!((ours - golden).abs() < 1e-12, "{what}: {ours} is not {golden}");
}

#[test]
fn every_measure_is_the_reference_implementations() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/measures.json")).expect("golden values");
    for case in cases {
        let positive: Vec<bool> = case.labels.iter().map(|label| *label == 1).collect();
        let (scores, name) = (&case.scores, &case.name);
        assert_close(average_precision(scores, &positive), case.average_precision, name);
        assert_close(Some(log_loss(scores, &positive)), case.log_loss, name);
        let matrix = ConfusionMatrix::at(scores, &positive, case.threshold);
        assert_close(matrix.balanced_accuracy(), case.balanced_accuracy, name);
        assert_close(matrix.mcc(), case.mcc, name);
        let negative = matrix.of_the_negative_class();
        let ours = [negative.precision(), negative.sensitivity(), negative.f1()];
        for (ours, golden) in ours.into_iter().zip(case.negative) {
            assert_close(ours, golden, name);
        }
        let found = DeLong::new(scores, &positive);
        assert_close(found.map(|found| found.auc), case.delong[0], name);
        assert_close(found.map(|found| found.standard_error), case.delong[1], name);
        let isotonic = IsotonicCalibration::fit(scores, &positive).expect("both classes");
        for (score, golden) in scores.iter().zip(&case.isotonic) {
            assert_close(Some(isotonic.apply(*score)), *golden, name);
        }
    }
}
