//! Evaluation of one fold: figures with intervals.

pub mod details;
pub mod external;
pub mod named_groups;
pub mod plots;
pub mod released;
pub mod subgroups;
pub mod worst;

use crate::config::Config;
use crate::data::entry::images_digest;
use crate::data::folds::Fold;
use crate::data::ledger::{self, Look};
use crate::data::pixels::Pixels;
use crate::files;
use crate::measure::calibrate::Calibrated;
use crate::measure::sample::{Sample, patients};
use crate::progress::say;
use crate::run::environment::{git_commit, now};
use crate::train::score::Scores;
use crate::train::trained::TrainedRun;
use anyhow::{Result, ensure};
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::bundle::{EceKind, FoldEvaluation, Measured, sha256_hex};
use details::Details;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use worst::Case;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationFile {
    pub fold: Fold,
    pub weights_sha256: String,
    pub calibration_sha256: String,
    pub threshold: f64,
    pub confusion: ConfusionMatrix,
    pub figures: FoldEvaluation,
    pub details: Details,
}

impl EvaluationFile {
    pub fn name(fold: Fold) -> String {
        format!("evaluation-{}.json", fold.name())
    }

    /// `None` unless measured with these weights and this calibration.
    pub fn load(trained: &TrainedRun, calibrated: &Calibrated, fold: Fold) -> Result<Option<Self>> {
        let found: Option<Self> = files::read_json(&trained.run.file(&Self::name(fold)))?;
        let calibration = calibration_digest(calibrated)?;
        Ok(found.filter(|found| {
            found.weights_sha256 == trained.weights_sha256 && found.calibration_sha256 == calibration
        }))
    }
}

/// Digest of calibration, policy and prediction sets.
pub(crate) fn calibration_digest(calibrated: &Calibrated) -> Result<String> {
    Ok(sha256_hex(&serde_json::to_vec(&(
        &calibrated.calibration,
        &calibrated.policy,
        &calibrated.conformal,
    ))?))
}

/// The model under evaluation, with what the ledger records about it.
#[derive(Debug, Clone)]
pub struct EvaluatedModel {
    pub name: String,
    pub config_sha256: String,
    pub calibrated: Calibrated,
    /// The file that records looks at the test fold.
    pub ledger: PathBuf,
}

/// Evaluates one fold of a run; writes and prints the figures. The test split needs a `reason`, which the
/// ledger records before anything is printed.
pub fn evaluate(
    trained: &TrainedRun,
    calibrated: &Calibrated,
    fold: Fold,
    reason: Option<&str>,
) -> Result<FoldEvaluation> {
    check_look(fold, reason)?;
    let (pixels, scores) = trained.score(fold)?;
    let evaluated = EvaluatedModel {
        name: trained.run.name(),
        config_sha256: trained.config.digest()?,
        calibrated: calibrated.clone(),
        ledger: trained.ledger(),
    };
    let evaluation = measure(&evaluated, trained.config, fold, reason, &pixels, &scores)?;
    let (positive, probabilities) = (pixels.positive(), calibrated.probabilities(&scores.logits));
    let ood_scores = calibrated.ood_scores(&scores.embeddings)?;
    let cases: Vec<Case> = (0..pixels.len())
        .map(|i| Case {
            path: &pixels.entries[i].path,
            patient: &pixels.entries[i].patient,
            positive: positive[i],
            logit: scores.logits[i],
            probability: probabilities[i],
            ood_score: ood_scores[i],
            pixels: pixels.image(i),
        })
        .collect();
    let (name, threshold) = (fold.name(), evaluation.threshold);
    let file = |form: &str| trained.run.file(&format!("{form}-{name}.csv"));
    files::write_atomically(&file("scores"), &scores_csv(&cases, threshold)?)?;
    let worst = worst::worst(&cases, trained.config.evaluation.worst_cases);
    files::write_atomically(&file("worst"), &worst::csv(&worst, threshold)?)?;
    let sheet = worst::sheet(&worst, pixels.size, threshold);
    trained.run.write_figure(&format!("worst-{name}.png"), sheet)?;
    let calibration = &evaluation.details.calibration;
    plots::write(trained.run, name, (&probabilities, &positive), threshold, calibration)?;
    // Written last: if this file exists, so do the others.
    files::write_json(&trained.run.file(&EvaluationFile::name(fold)), &evaluation)?;
    Ok(evaluation.figures)
}

/// Fails for the train fold, and for the test split without a reason.
pub fn check_look(fold: Fold, reason: Option<&str>) -> Result<()> {
    ensure!(fold != Fold::Train, "the train fold cannot be evaluated: the network has seen it");
    ensure!(
        fold != Fold::Test || reason.is_some(),
        "every look at the test split is recorded in the ledger: state the reason with --reason"
    );
    Ok(())
}

/// Measures and prints the figures of scores. Records a look at the test split in the ledger.
pub fn measure(
    evaluated: &EvaluatedModel,
    config: &Config,
    fold: Fold,
    reason: Option<&str>,
    pixels: &Pixels,
    scores: &Scores,
) -> Result<EvaluationFile> {
    let calibrated = &evaluated.calibrated;
    let (positive, probabilities) = (pixels.positive(), calibrated.probabilities(&scores.logits));
    let threshold = calibrated.policy.threshold;
    let groups = patients(pixels);
    let sample = Sample {
        probabilities: &probabilities,
        positive: &positive,
        patients: &groups,
        resamples: config.evaluation.resamples,
        seed: config.seed,
    };
    let figures = sample.fold_evaluation(threshold)?;
    let names = config.evaluation.name_subgroups()?;
    let subgroups = subgroups::of_fold(pixels, &names, config.export.originals.as_deref());
    let subgroups = subgroups::measure(&subgroups, &sample, threshold);
    let details = details::measure(calibrated, &sample, scores, subgroups)?;
    let confusion = ConfusionMatrix::at(&probabilities, &positive, threshold);
    if let (Fold::Test, Some(reason)) = (fold, reason) {
        let look = Look {
            time: now()?,
            run: evaluated.name.clone(),
            git_commit: git_commit(),
            config_sha256: evaluated.config_sha256.clone(),
            weights_sha256: calibrated.weights_sha256.clone(),
            command: std::env::args().nth(1).unwrap_or_default(),
            reason: reason.to_owned(),
            n: positive.len(),
            auc: figures.auc.value,
            images_sha256: Some(images_digest(pixels.entries.iter())),
            gates_sha256: Some(config.gates_digest()?),
        };
        ledger::append(&evaluated.ledger, &look)?;
    }
    let evaluation = EvaluationFile {
        fold,
        weights_sha256: calibrated.weights_sha256.clone(),
        calibration_sha256: calibration_digest(calibrated)?,
        threshold,
        confusion,
        figures,
        details,
    };
    say(format!("{} fold, {} images, operating point {threshold:.4}", fold.name(), positive.len()));
    print(&evaluation.figures, confusion, &evaluation.details);
    Ok(evaluation)
}

fn print(figures: &FoldEvaluation, confusion: ConfusionMatrix, details: &Details) {
    for (name, measured) in rows(figures) {
        let [low, high] = measured.ci95;
        say(format!("  {name:<12} {:.4}  [{low:.4}, {high:.4}]  n {}", measured.value, measured.n));
    }
    say(format!("  {}", counts(confusion)));
    for line in details.lines() {
        say(format!("- {line}"));
    }
}

fn counts(confusion: ConfusionMatrix) -> String {
    let ConfusionMatrix { true_positives, false_positives, true_negatives, false_negatives } = confusion;
    format!(
        "true positives {true_positives}, false negatives {false_negatives}, false positives {false_positives}, true negatives \
         {true_negatives}"
    )
}

/// What the expected calibration error of a report or card is.
pub const ECE_NOTE: &str = "Expected calibration error (ECE): the root mean square of the gap between share of positives and mean probability, over at most 15 bins with equal numbers of images. The value is median-unbiased: 0 if the images show no error. Its interval inverts a test and covers near 0 too.";

/// The same for figures of [`EceKind::PlugIn`], which runs and bundles from before hold. A resample repeats
/// some images and omits others, so its bins look worse calibrated.
pub const PLUG_IN_ECE_NOTE: &str = "Expected calibration error (ECE): the mean absolute gap over 15 bins of equal width. Resampled data look worse calibrated: its interval is biased upwards and can lie above the ECE.";

pub const fn ece_note(kind: EceKind) -> &'static str {
    match kind {
        EceKind::PlugIn => PLUG_IN_ECE_NOTE,
        EceKind::L2 => ECE_NOTE,
    }
}

pub fn rows(figures: &FoldEvaluation) -> [(&'static str, Measured); 8] {
    [
        ("AUC", figures.auc),
        ("sensitivity", figures.sensitivity),
        ("specificity", figures.specificity),
        ("precision", figures.precision),
        ("F1", figures.f1),
        ("accuracy", figures.accuracy),
        ("ECE", figures.ece),
        ("Brier", figures.brier),
    ]
}

fn scores_csv(cases: &[Case], threshold: f64) -> Result<Vec<u8>> {
    let rows = cases.iter().map(|case| {
        [
            case.path.to_owned(),
            case.patient.to_owned(),
            u8::from(case.positive).to_string(),
            format!("{:.6}", case.logit),
            format!("{:.6}", case.probability),
            u8::from(case.probability >= threshold).to_string(),
            format!("{:.4}", case.ood_score),
        ]
    });
    files::csv(["path", "patient", "positive", "logit", "probability", "flagged", "ood_score"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_printed_in_words() {
        let found = ConfusionMatrix::at(&[0.9, 0.8, 0.1], &[true, false, false], 0.5);
        let words = "true positives 1, false negatives 0, false positives 1, true negatives 1";
        assert_eq!(counts(found), words);
    }
}
