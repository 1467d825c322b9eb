//! Mitigations that need neither labels nor training, on clean and corrupted images. Mitigations during
//! training, such as other augmentation, are runs of their own; `compare` lists them.

use super::adapt;
use super::corruptions::{condition_name, corrupted, corrupted_image};
use super::model::{Backend, ModelUnderTest};
use crate::progress::say;
use anyhow::Result;
use cxr::analysis::corrupt::{Corruption, shift};
use cxr::analysis::scoring::log_loss::log_loss;
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::Measured;
use serde::{Deserialize, Serialize};

const KINDS: [Corruption; 6] = [
    Corruption::GaussianNoise,
    Corruption::GaussianBlur,
    Corruption::Contrast,
    Corruption::Brightness,
    Corruption::Resolution,
    Corruption::BlackBorder,
];
const SEVERITY: u8 = 3;
/// Shift of the views of test-time augmentation, as a share of the side.
const VIEW_SHIFT: f64 = 0.02;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Mean logit of four views: the image, its mirror image, and each of them moved by 2 % of the side.
    TestTimeAugmentation,
    /// Batch normalisation with the statistics of the images under test (AdaBN, Li et al. 2018).
    AdaBn,
    /// Embeddings aligned with the train fold: within its principal components they get its mean and
    /// covariance (CORAL, Sun, Feng and Saenko 2016). The classifier is unchanged.
    Coral,
}

impl Method {
    const ALL: [Self; 3] = [Self::TestTimeAugmentation, Self::AdaBn, Self::Coral];

    pub const fn name(self) -> &'static str {
        match self {
            Self::TestTimeAugmentation => "tta",
            Self::AdaBn => "adabn",
            Self::Coral => "coral",
        }
    }
}

/// A mitigation under one condition. AdaBN and CORAL adapt to the images on which they are then evaluated.
/// Those have the fold's share of positives; under another share the classes would be shifted as well.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MitigationResult {
    /// `None` for the clean images.
    pub corruption: Option<Corruption>,
    pub auc_before: f64,
    pub auc_after: f64,
    pub auc_change: Measured,
    /// Below 0 is better.
    pub log_loss_change: Measured,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mitigation {
    pub method: Method,
    /// The clean images first, then the corruptions.
    pub results: Vec<MitigationResult>,
    pub mean_auc_change: Option<Measured>,
    pub not_measured: Option<String>,
}

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
    let (mut results, mut pairs) = (Vec::new(), Vec::new());
    for corruption in std::iter::once(None).chain(KINDS.map(Some)) {
        let before = unmitigated(model, corruption)?;
        let after = mitigated(model, method, corruption)?;
        let (before, after) = (model.probabilities(&before), model.probabilities(&after));
        let evaluator = &model.evaluator;
        let area = |p: &[f64]| auc(p, &evaluator.positive).unwrap_or(f64::NAN);
        let result = MitigationResult {
            corruption,
            auc_before: area(&before),
            auc_after: area(&after),
            auc_change: evaluator.change(method.name(), &before, &after, auc)?,
            log_loss_change: evaluator.change(method.name(), &before, &after, |p, y| Some(log_loss(p, y)))?,
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
    let pairs: Vec<_> = pairs.iter().map(|(before, after)| (&before[..], &after[..])).collect();
    let mean = model.evaluator.mean_change(method.name(), &pairs, auc)?;
    Ok(Mitigation { method, results, mean_auc_change: Some(mean), not_measured: None })
}

fn unmitigated(model: &mut ModelUnderTest, corruption: Option<Corruption>) -> Result<Vec<f64>> {
    match corruption {
        None => model.clean(),
        Some(corruption) => corrupted(model, corruption, SEVERITY),
    }
}

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
            let mut mean = unmitigated(model, corruption)?;
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
