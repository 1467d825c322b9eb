//! Mitigations without labels and without training, on the fold as it is and under corruptions. Training-time ones, such as
//! other augmentation, are runs of their own: `compare` lists them.

use super::adapt;
use super::corruptions::{condition_name, corrupted, corrupted_image};
use super::figures::pick;
use super::model::{Backend, ModelUnderTest};
use crate::progress::say;
use anyhow::Result;
use cxr::analysis::corrupt::{Corruption, shift};
use cxr::analysis::scoring::log_loss::log_loss;
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::Measured;
use serde::{Deserialize, Serialize};

/// The corruptions that stand for the others, at [`SEVERITY`].
const KINDS: [Corruption; 6] = [
    Corruption::GaussianNoise,
    Corruption::GaussianBlur,
    Corruption::Contrast,
    Corruption::Brightness,
    Corruption::Resolution,
    Corruption::BlackBorder,
];
/// Severity of the corruptions.
const SEVERITY: u8 = 3;
/// Shift of the views of test-time augmentation, as a share of the side.
const VIEW_SHIFT: f64 = 0.02;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Mean logit of four views: as it is, mirrored, and each moved by 2 % of the side.
    TestTimeAugmentation,
    /// Batch normalisation with statistics of these very images (AdaBN, Li et al. 2018).
    AdaBn,
    /// Embeddings whose mean and covariance within the principal components of the train fold are brought to the train
    /// fold's (CORAL, Sun, Feng and Saenko 2016); the classifier is unchanged.
    Coral,
}

impl Method {
    const ALL: [Self; 3] = [Self::TestTimeAugmentation, Self::AdaBn, Self::Coral];

    /// The name used in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TestTimeAugmentation => "tta",
            Self::AdaBn => "adabn",
            Self::Coral => "coral",
        }
    }
}

/// A mitigation under one condition. The alignments see the unlabelled images that they are judged on, with the fold's
/// share of positives: under another share they would move the classes too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MitigationResult {
    /// The corruption; none for the images as they are.
    pub corruption: Option<Corruption>,
    /// Area under the curve without it.
    pub auc_before: f64,
    /// And with it.
    pub auc_after: f64,
    /// The difference; each resample draws the same patients on both sides.
    pub auc_change: Measured,
    /// Difference of the log loss likewise; below 0 is better.
    pub log_loss_change: Measured,
}

/// A mitigation under all conditions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mitigation {
    /// What was done.
    pub method: Method,
    /// As it is, then the corruptions.
    pub results: Vec<MitigationResult>,
    /// Mean change of the AUC over the corruptions.
    pub mean_auc_change: Option<Measured>,
    /// Why there is nothing.
    pub not_measured: Option<String>,
}

/// Runs every mitigation.
pub fn measure_mitigations(model: &mut ModelUnderTest) -> Result<Vec<Mitigation>> {
    Method::ALL.into_iter().map(|method| mitigation(model, method)).collect()
}

fn mitigation(model: &mut ModelUnderTest, method: Method) -> Result<Mitigation> {
    if matches!(model.backend, Backend::Graph(_)) && method != Method::TestTimeAugmentation {
        return Ok(Mitigation {
            method,
            results: Vec::new(),
            mean_auc_change: None,
            not_measured: Some("a bundle's graph does not give its normalisation and classifier".to_owned()),
        });
    }
    let conditions = std::iter::once(None).chain(KINDS.map(Some));
    let (mut results, mut pairs) = (Vec::new(), Vec::new());
    for corruption in conditions {
        let before = match corruption {
            None => model.clean()?,
            Some(corruption) => corrupted(model, corruption, SEVERITY)?,
        };
        let after = mitigated(model, method, corruption)?;
        let (before, after) = (model.probabilities(&before), model.probabilities(&after));
        let ruler = &model.ruler;
        let area = |p: &[f64]| auc(p, &ruler.positive).unwrap_or(f64::NAN);
        let result = MitigationResult {
            corruption,
            auc_before: area(&before),
            auc_after: area(&after),
            auc_change: ruler.change(method.name(), &before, &after, auc)?,
            log_loss_change: ruler.change(method.name(), &before, &after, |p, y| Some(log_loss(p, y)))?,
        };
        let [low, high] = result.auc_change.ci95;
        say(format!(
            "  {:<6} {:<16} AUC {:.4} -> {:.4}, {:+.4} [{low:+.4}, {high:+.4}]  log loss {:+.4}",
            method.name(),
            corruption.map_or("clean", Corruption::name),
            result.auc_before,
            result.auc_after,
            result.auc_change.value,
            result.log_loss_change.value
        ));
        results.push(result);
        if corruption.is_some() {
            pairs.push((before, after));
        }
    }
    let mean = model.ruler.measure(method.name(), model.n(), |images| {
        let changes: Option<Vec<f64>> = pairs
            .iter()
            .map(|(before, after)| {
                let (old, y) = pick(images, before, &model.ruler.positive);
                let (new, _) = pick(images, after, &model.ruler.positive);
                Some(auc(&new, &y)? - auc(&old, &y)?)
            })
            .collect();
        changes.map(|changes| changes.iter().sum::<f64>() / changes.len() as f64)
    })?;
    Ok(Mitigation { method, results, mean_auc_change: Some(mean), not_measured: None })
}

/// The image of a condition.
fn image_under(model: &ModelUnderTest, corruption: Option<Corruption>, image: usize) -> Vec<u8> {
    match corruption {
        None => model.resized.image(image).to_vec(),
        Some(corruption) => corrupted_image(model, corruption, SEVERITY, image),
    }
}

fn mitigated(model: &mut ModelUnderTest, method: Method, corruption: Option<Corruption>) -> Result<Vec<f64>> {
    let condition = corruption.map_or("clean".to_owned(), |corruption| condition_name(corruption, SEVERITY));
    let name = format!("{}-{condition}", method.name());
    match method {
        Method::TestTimeAugmentation => {
            let mut mean = match corruption {
                None => model.clean()?,
                Some(corruption) => corrupted(model, corruption, SEVERITY)?,
            };
            for (number, (is_mirrored, moved)) in
                [(true, 0.0), (false, VIEW_SHIFT), (true, -VIEW_SHIFT)].into_iter().enumerate()
            {
                let view = model.scores_under(&format!("{name}-{number}"), |model, image| {
                    let mut pixels = image_under(model, corruption, image);
                    if is_mirrored {
                        pixels.chunks_exact_mut(model.size().0 as usize).for_each(<[u8]>::reverse);
                    }
                    if moved == 0.0 { pixels } else { shift(&pixels, model.size(), moved, moved) }
                })?;
                mean.iter_mut().zip(view).for_each(|(sum, logit)| *sum += logit);
            }
            for sum in &mut mean {
                *sum /= 4.0;
            }
            Ok(mean)
        }
        Method::AdaBn => model.recorded(&name, |model| {
            let images = model.inputs(|model, image| image_under(model, corruption, image));
            adapt::adabn(model, &images)
        }),
        Method::Coral => model.recorded(&name, |model| {
            let answers = model.answer(&name, |model, image| image_under(model, corruption, image))?;
            adapt::coral(model, &answers)
        }),
    }
}
