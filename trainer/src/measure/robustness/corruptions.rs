//! The corruption suite: every kind at every severity, and the means over all of them, as Hendrycks and
//! Dietterich 2019 average errors.

use super::figures::Figures;
use super::model::ModelUnderTest;
use crate::markdown::measured;
use crate::measure::sample::pick;
use crate::progress::say;
use anyhow::Result;
use cxr::analysis::corrupt::{Corruption, corrupt};
use cxr::analysis::scoring::log_loss::log_loss;
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::Measured;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorruptionResult {
    pub corruption: Corruption,
    pub severity: u8,
    /// In the unit of [`Corruption`].
    pub strength: f64,
    pub figures: Figures,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorruptionSuite {
    pub severities: Vec<u8>,
    /// Ordered by kind, then severity.
    pub results: Vec<CorruptionResult>,
    /// Means over kinds and severities; each resample draws the same patients under every condition.
    pub mean_auc: Measured,
    pub mean_log_loss: Measured,
    /// In the order of `severities`.
    pub mean_auc_by_severity: Vec<Measured>,
}

pub fn measure_corruptions(model: &mut ModelUnderTest, severities: &[u8]) -> Result<CorruptionSuite> {
    let (mut results, mut probabilities) = (Vec::new(), Vec::new());
    for corruption in Corruption::ALL {
        for &severity in severities {
            let logits = corrupted(model, corruption, severity)?;
            let figures = model.figures(&logits)?;
            say(format!("  {:<16} {severity} {figures}", corruption.name()));
            let strength = corruption.strength(severity);
            results.push(CorruptionResult { corruption, severity, strength, figures });
            probabilities.push((severity, model.probabilities(&logits)));
        }
    }
    let of_severity = |severity| {
        probabilities.iter().filter(move |(s, _)| *s == severity).map(|(_, p)| p).collect::<Vec<_>>()
    };
    let all = || probabilities.iter().map(|(_, p)| p).collect::<Vec<_>>();
    let suite = CorruptionSuite {
        severities: severities.to_vec(),
        results,
        mean_auc: mean(model, "mean corruption AUC", &all(), auc)?,
        mean_log_loss: mean(model, "mean corruption log loss", &all(), |p, y| Some(log_loss(p, y)))?,
        mean_auc_by_severity: severities
            .iter()
            .map(|severity| mean(model, "mean corruption AUC", &of_severity(*severity), auc))
            .collect::<Result<_>>()?,
    };
    say(format!("  mean corruption AUC      {}", measured(&suite.mean_auc)));
    say(format!("  mean corruption log loss {}", measured(&suite.mean_log_loss)));
    Ok(suite)
}

pub fn corrupted(model: &mut ModelUnderTest, corruption: Corruption, severity: u8) -> Result<Vec<f64>> {
    let name = condition_name(corruption, severity);
    model.scores_under(&name, |model, image| corrupted_image(model, corruption, severity, image))
}

pub fn condition_name(corruption: Corruption, severity: u8) -> String {
    format!("{}-{severity}", corruption.name())
}

pub fn corrupted_image(
    model: &ModelUnderTest,
    corruption: Corruption,
    severity: u8,
    image: usize,
) -> Vec<u8> {
    corrupt(model.resized.image(image), model.size(), corruption, severity, model.evaluator.seed, image)
}

fn mean(
    model: &ModelUnderTest,
    name: &str,
    conditions: &[&Vec<f64>],
    figure: impl Fn(&[f64], &[bool]) -> Option<f64>,
) -> Result<Measured> {
    let evaluator = &model.evaluator;
    evaluator.measure(name, evaluator.positive.len(), |images| {
        let values = conditions.iter().map(|probabilities| {
            let (p, y) = pick(images, probabilities, &evaluator.positive);
            figure(&p, &y)
        });
        Some(values.sum::<Option<f64>>()? / conditions.len() as f64)
    })
}
