//! Shortcut probes without the network: a cross-validated classifier on features that should not predict the
//! class, such as aspect ratio, size and colour mode of the originals.

use super::figures::Evaluator;
use super::model::ModelUnderTest;
use crate::data::index::Index;
use crate::measure::sample::numbered;
use crate::model::logistic;
use anyhow::{Context, Result, ensure};
use cxr::DecodeLimits;
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::Measured;
use cxr::image::ColourMode;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// Folds of the cross-validation, by patients.
const FOLDS: usize = 5;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierProbe {
    pub name: String,
    pub n_features: usize,
    /// Of the held-out scores; the interval resamples patients without fitting again.
    pub auc: Option<Measured>,
    pub not_measured: Option<String>,
}

pub(super) fn classify(name: &str, rows: &[Vec<f64>], evaluator: &Evaluator) -> ClassifierProbe {
    let measured =
        held_out(rows, evaluator).and_then(|scores| evaluator.score(name, scores.len(), &scores, auc));
    let (auc, not_measured) = match measured {
        Ok(auc) => (Some(auc), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let n_features = rows.first().map_or(0, Vec::len);
    ClassifierProbe { name: name.to_owned(), n_features, auc, not_measured }
}

/// Log-odds of each image from a model fitted without its patient; the folds are stratified by class.
fn held_out(rows: &[Vec<f64>], evaluator: &Evaluator) -> Result<Vec<f64>> {
    let class: BTreeMap<usize, bool> =
        evaluator.patients.iter().copied().zip(evaluator.positive.iter().copied()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(evaluator.seed);
    let mut fold_of = BTreeMap::new();
    for label in [false, true] {
        let mut patients: Vec<usize> = class.iter().filter(|(_, y)| **y == label).map(|(p, _)| *p).collect();
        ensure!(patients.len() > 1, "a class has fewer than two patients, so none can be held out");
        patients.shuffle(&mut rng);
        fold_of.extend(patients.into_iter().enumerate().map(|(i, patient)| (patient, i % FOLDS)));
    }
    let matrix = |images: &[usize]| {
        let values: Vec<f64> = images.iter().flat_map(|image| rows[*image].iter().copied()).collect();
        Tensor::from_slice(&values).view([images.len() as i64, -1]).to_kind(Kind::Double)
    };
    let mut scores = vec![0.0; rows.len()];
    for fold in 0..FOLDS {
        let (out, rest): (Vec<usize>, Vec<usize>) =
            (0..rows.len()).partition(|image| fold_of[&evaluator.patients[*image]] == fold);
        if out.is_empty() {
            continue;
        }
        let labels: Vec<bool> = rest.iter().map(|image| evaluator.positive[*image]).collect();
        let model = logistic::fit(&matrix(&rest), &labels, 1.0)?;
        for (image, score) in out.iter().zip(model.logits(&matrix(&out))?) {
            scores[*image] = score;
        }
    }
    Ok(scores)
}

/// Features of the originals.
const NAMES: [&str; 4] =
    ["aspect ratio of originals", "short side of originals", "colour mode of originals", "all three"];

/// One probe per feature and one for all features together.
pub(super) fn of_originals(model: &ModelUnderTest) -> Result<Vec<ClassifierProbe>> {
    let Some((root, data)) = model.originals.as_ref().filter(|(root, _)| root.is_dir()) else {
        let absent = |name: &str| ClassifierProbe {
            name: name.to_owned(),
            n_features: 0,
            auc: None,
            not_measured: Some("trainer.export.originals is not a folder".to_owned()),
        };
        return Ok(NAMES.map(absent).into());
    };
    let index = Index::scan_part(root, data)?;
    let mut rows = Vec::new();
    for entry in &index.entries {
        let path = root.join(&entry.path);
        let bytes = std::fs::read(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let image = cxr::decode(&bytes, &DecodeLimits::default())
            .with_context(|| format!("{}: cannot be decoded", path.display()))?;
        let (width, height) = (f64::from(image.width()), f64::from(image.height()));
        let is_colour = f64::from(u8::from(image.colour() != ColourMode::Grey));
        rows.push(vec![width / height, width.min(height), is_colour]);
    }
    let patients = numbered(index.entries.iter().map(|entry| (entry.positive, entry.patient.as_str())));
    let positive = index.entries.iter().map(|entry| entry.positive).collect();
    let evaluator = Evaluator { positive, patients, ..model.evaluator.clone() };
    let column = |j: usize| rows.iter().map(|row| vec![row[j]]).collect::<Vec<_>>();
    let mut probes: Vec<_> = (0..3).map(|j| classify(NAMES[j], &column(j), &evaluator)).collect();
    probes.push(classify(NAMES[3], &rows, &evaluator));
    Ok(probes)
}
