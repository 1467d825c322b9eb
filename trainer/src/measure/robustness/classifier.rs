//! A cross-validated classifier on features that should not predict the class.

use super::figures::Evaluator;
use crate::model::logistic;
use anyhow::{Result, ensure};
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::Measured;
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
