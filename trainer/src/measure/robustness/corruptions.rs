//! The corruption suite: every kind at every severity, and the means over all of them (after Hendrycks and Dietterich
//! 2019, who average errors over kinds and severities in the same way).

use super::figures::{Figures, pick};
use super::model::ModelUnderTest;
use crate::progress::say;
use anyhow::Result;
use cxr::analysis::corrupt::{Corruption, corrupt};
use cxr::analysis::scoring::log_loss::log_loss;
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::Measured;
use serde::{Deserialize, Serialize};

/// One kind at one severity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorruptionResult {
    /// What was done to every image.
    pub corruption: Corruption,
    /// 1 to 5.
    pub severity: u8,
    /// Its strength in the unit of [`Corruption`].
    pub strength: f64,
    /// What is left.
    pub figures: Figures,
}

/// All kinds and severities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorruptionSuite {
    /// Severities of every kind.
    pub severities: Vec<u8>,
    /// By kind, then severity.
    pub results: Vec<CorruptionResult>,
    /// Mean of the AUC over kinds and severities; each resample draws the same patients everywhere.
    pub mean_auc: Measured,
    /// Mean of the log loss likewise.
    pub mean_log_loss: Measured,
    /// Mean AUC of each severity, in the order of `severities`.
    pub mean_auc_by_severity: Vec<Measured>,
}

/// Scores every corruption and measures it.
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
    let suite = CorruptionSuite {
        severities: severities.to_vec(),
        results,
        mean_auc: mean(model, "mean corruption AUC", &probabilities, auc)?,
        mean_log_loss: mean(model, "mean corruption log loss", &probabilities, |p, y| Some(log_loss(p, y)))?,
        mean_auc_by_severity: severities
            .iter()
            .map(|severity| {
                let of_severity: Vec<(u8, Vec<f64>)> =
                    probabilities.iter().filter(|(s, _)| s == severity).cloned().collect();
                mean(model, "mean corruption AUC", &of_severity, auc)
            })
            .collect::<Result<_>>()?,
    };
    for (name, measured) in
        [("mean corruption AUC", suite.mean_auc), ("mean corruption log loss", suite.mean_log_loss)]
    {
        let [low, high] = measured.ci95;
        say(format!("  {name:<24} {:.4} [{low:.4}, {high:.4}]", measured.value));
    }
    Ok(suite)
}

/// Logits of the fold under one corruption.
pub fn corrupted(model: &mut ModelUnderTest, corruption: Corruption, severity: u8) -> Result<Vec<f64>> {
    let name = condition_name(corruption, severity);
    model.scores_under(&name, |model, image| corrupted_image(model, corruption, severity, image))
}

/// The name of a corruption at a severity.
pub fn condition_name(corruption: Corruption, severity: u8) -> String {
    format!("{}-{severity}", corruption.name())
}

/// One resized image of the fold under a corruption.
pub fn corrupted_image(
    model: &ModelUnderTest,
    corruption: Corruption,
    severity: u8,
    image: usize,
) -> Vec<u8> {
    corrupt(model.resized.image(image), model.size(), corruption, severity, model.seed, image)
}

fn mean(
    model: &ModelUnderTest,
    name: &str,
    steps: &[(u8, Vec<f64>)],
    figure: impl Fn(&[f64], &[bool]) -> Option<f64>,
) -> Result<Measured> {
    let ruler = &model.ruler;
    ruler.measure(name, ruler.positive.len(), |images| {
        let values: Option<Vec<f64>> = steps
            .iter()
            .map(|(_, probabilities)| {
                let (p, y) = pick(images, probabilities, &ruler.positive);
                figure(&p, &y)
            })
            .collect();
        values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
    })
}
