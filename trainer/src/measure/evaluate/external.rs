//! Evaluation on an external labelled set. Nothing is fitted or chosen on it.

use super::details::{self, Details};
use super::{calibration_digest, plots, print, subgroups};
use crate::config::Config;
use crate::config::evaluation::{External, ExternalClass};
use crate::data::loose::{Loose, LooseImage};
use crate::data::patient::{by_pattern, known};
use crate::data::scan::files_below;
use crate::files;
use crate::measure::calibrate::Calibrated;
use crate::measure::sample::{Sample, numbered};
use crate::progress::say;
use crate::train::score::{Scores, score_grey};
use crate::train::trained::TrainedRun;
use anyhow::{Context, Result, ensure};
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::analysis::scoring::proportion::Proportion;
use cxr::bundle::FoldEvaluation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FILE: &str = "evaluation-external.json";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalEvaluation {
    pub name: String,
    pub note: String,
    pub weights_sha256: String,
    pub calibration_sha256: String,
    pub threshold: f64,
    /// Number of scored images by class folder.
    pub images: BTreeMap<String, usize>,
    pub refused: BTreeMap<String, String>,
    pub confusion: ConfusionMatrix,
    pub figures: FoldEvaluation,
    pub details: Details,
    pub other: Option<Other>,
}

/// Images of neither class, on which no decision is right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Other {
    pub flagged: Proportion,
    pub out_of_distribution: Proportion,
    pub mean_probability: f64,
}

impl ExternalEvaluation {
    /// `None` unless measured with these weights and this calibration.
    pub fn load(trained: &TrainedRun, calibrated: &Calibrated) -> Result<Option<Self>> {
        let found: Option<Self> = files::read_json(&trained.run.file(FILE))?;
        let calibration = calibration_digest(calibrated)?;
        Ok(found.filter(|found| {
            found.weights_sha256 == trained.weights_sha256 && found.calibration_sha256 == calibration
        }))
    }
}

/// Why there are no figures of an external set. Does not name the folder, because reports are published.
pub fn why_not_measured(config: &Config) -> String {
    const COMMAND: &str = "`cxr-trainer evaluate --fold external`";
    match &config.evaluation.external {
        None => format!(
            "trainer.evaluation.external is not configured; name a labelled set from another site there, then run {COMMAND}"
        ),
        Some(external) if !external.root.is_dir() => format!(
            "the folder in trainer.evaluation.external.root is missing; put the images of {} there, then run {COMMAND}",
            external.name.trim()
        ),
        Some(_) => format!("{COMMAND} has not been run on these weights and this calibration"),
    }
}

pub fn evaluate_external(trained: &TrainedRun, calibrated: &Calibrated) -> Result<ExternalEvaluation> {
    let external =
        trained.config.evaluation.external.as_ref().context("trainer.evaluation.external: not configured")?;
    let (loose, classes) = read(trained, external)?;
    let images: Vec<&[u8]> = loose.images.iter().map(|image| image.pixels.as_slice()).collect();
    let scores = score_grey(&trained.network, &images, loose.size, trained.device, "external")?;
    let (patients, n_unknown) = patients(&loose, external)?;
    if n_unknown > 0 {
        say(format!(
            "{n_unknown} of {} file names of {} do not identify the patient: each counts as a patient of its own (trainer.evaluation.external.patient_pattern)",
            patients.len(),
            external.name
        ));
    }
    let evaluation = measure(trained, calibrated, external, (&loose, &classes, &patients), &scores)?;
    let table = scores_csv(&loose, &patients, &scores, calibrated)?;
    files::write_atomically(&trained.run.file("scores-external.csv"), &table)?;
    files::write_json(&trained.run.file(FILE), &evaluation)?;
    say(format!("{}, operating point {:.4}", external.name, evaluation.threshold));
    print(&evaluation.figures, evaluation.confusion, &evaluation.details);
    if let Some(Other { flagged, out_of_distribution: ood, .. }) = &evaluation.other {
        say(format!(
            "- neither class: {}/{} called positive, {}/{} out of distribution",
            flagged.k, flagged.n, ood.k, ood.n
        ));
    }
    say(format!("- {} rejected; {}", evaluation.refused.len(), external.note));
    Ok(evaluation)
}

fn read(trained: &TrainedRun, external: &External) -> Result<(Loose, Vec<ExternalClass>)> {
    let root = &external.root;
    ensure!(
        root.is_dir(),
        "{}: no such folder; set trainer.evaluation.external.root, or CXR_DATA_DIR to its parent folder",
        root.display()
    );
    let loose = Loose::read(root, &files_below(root, "")?, &trained.recipe())?;
    let class = |image: &LooseImage| {
        let folder = folder(&image.path);
        external.classes.get(folder).copied().with_context(|| {
            let file = root.join(&image.path);
            format!("{}: trainer.evaluation.external.classes has no class for {folder:?}", file.display())
        })
    };
    let classes = loose.images.iter().map(class).collect::<Result<_>>()?;
    Ok((loose, classes))
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The patient of each image, and the number of images that count as a patient of their own.
fn patients(loose: &Loose, external: &External) -> Result<(Vec<String>, usize)> {
    let pattern = external.patient_pattern()?;
    let mut n_unknown = 0;
    let patient = |image: &LooseImage| {
        let name = image.path.rsplit('/').next().unwrap_or(&image.path);
        let patient = pattern.as_ref().map_or_else(|| known(name), |pattern| by_pattern(name, pattern));
        n_unknown += usize::from(patient.is_none());
        patient.unwrap_or_else(|| image.path.clone())
    };
    let patients = loose.images.iter().map(patient).collect();
    Ok((patients, n_unknown))
}

fn measure(
    trained: &TrainedRun,
    calibrated: &Calibrated,
    external: &External,
    (loose, classes, names): (&Loose, &[ExternalClass], &[String]),
    scores: &Scores,
) -> Result<ExternalEvaluation> {
    let threshold = calibrated.policy.threshold;
    let of = |wanted: fn(ExternalClass) -> bool| -> Vec<usize> {
        (0..classes.len()).filter(|i| wanted(classes[*i])).collect()
    };
    let positions = of(|class| class != ExternalClass::Other);
    let labelled = pick(scores, &positions);
    let positive: Vec<bool> = positions.iter().map(|i| classes[*i] == ExternalClass::Positive).collect();
    let numbers = numbered(names);
    let patients: Vec<usize> = positions.iter().map(|i| numbers[*i]).collect();
    let probabilities = calibrated.probabilities(&labelled.logits);
    let sample = Sample {
        probabilities: &probabilities,
        positive: &positive,
        patients: &patients,
        resamples: trained.config.evaluation.resamples,
        seed: trained.config.seed,
    };
    let statistics: Vec<_> = positions.iter().map(|i| loose.images[*i].statistics).collect();
    let colours = positions.iter().map(|i| Some(loose.images[*i].colour.name().to_owned()));
    let mut properties = vec![subgroups::by("colour mode", colours)];
    properties.extend(subgroups::by_statistics(&statistics));
    let subgroups = subgroups::measure(&properties, &sample, threshold);
    let mut images = BTreeMap::new();
    for image in &loose.images {
        *images.entry(folder(&image.path).to_owned()).or_default() += 1;
    }
    let details = details::measure(calibrated, &sample, &labelled, subgroups)?;
    plots::write(trained.run, "external", (&probabilities, &positive), threshold, &details.calibration)?;
    Ok(ExternalEvaluation {
        name: external.name.clone(),
        note: external.note.clone(),
        weights_sha256: trained.weights_sha256.clone(),
        calibration_sha256: calibration_digest(calibrated)?,
        threshold,
        images,
        refused: loose.refused.iter().map(|image| (image.path.clone(), image.reason.to_owned())).collect(),
        confusion: ConfusionMatrix::at(&probabilities, &positive, threshold),
        figures: sample.fold_evaluation(threshold).context("external set")?,
        details,
        other: other(calibrated, &pick(scores, &of(|class| class == ExternalClass::Other)))?,
    })
}

fn pick(scores: &Scores, positions: &[usize]) -> Scores {
    Scores {
        logits: positions.iter().map(|i| scores.logits[*i]).collect(),
        embeddings: positions.iter().map(|i| scores.embeddings[*i].clone()).collect(),
    }
}

fn other(calibrated: &Calibrated, scores: &Scores) -> Result<Option<Other>> {
    if scores.logits.is_empty() {
        return Ok(None);
    }
    let probabilities = calibrated.probabilities(&scores.logits);
    let ood = calibrated.ood_scores(&scores.embeddings)?;
    Ok(Some(Other {
        flagged: Proportion::of(probabilities.iter().map(|p| *p >= calibrated.policy.threshold)),
        out_of_distribution: Proportion::of(ood.iter().map(|s| *s > calibrated.policy.ood_threshold)),
        mean_probability: probabilities.iter().sum::<f64>() / probabilities.len() as f64,
    }))
}

fn scores_csv(
    loose: &Loose,
    patients: &[String],
    scores: &Scores,
    calibrated: &Calibrated,
) -> Result<Vec<u8>> {
    let ood = calibrated.ood_scores(&scores.embeddings)?;
    let images = loose.images.iter().zip(patients).zip(&scores.logits).zip(ood);
    let rows = images.map(|(((image, patient), logit), ood)| {
        [
            image.path.clone(),
            patient.clone(),
            folder(&image.path).to_owned(),
            format!("{logit:.6}"),
            format!("{:.6}", calibrated.calibration.apply(*logit).value()),
            format!("{ood:.4}"),
        ]
    });
    files::csv(["path", "patient", "class", "logit", "probability", "ood_score"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_class() {
        assert_eq!(folder("NORMAL/00000129_000.jpg"), "NORMAL");
        assert_eq!(folder("a12.png"), "");
    }
}
