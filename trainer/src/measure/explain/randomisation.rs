//! The sanity check of Adebayo et al. 2018: weights are randomised stage by stage, beginning with the
//! classifier, and the maps must lose their similarity to those of the trained network. A map that keeps it
//! depends on the image, not on the model.

use super::maps::Maps;
use crate::measure::sample::mean;
use crate::model::{Network, Precision, weights};
use crate::progress::say;
use crate::train::score::grey_nchw;
use crate::train::trained::TrainedRun;
use anyhow::{Context, Result};
use cxr::analysis::similarity::{spearman, ssim};
use cxr::bundle::Measured;
use cxr::heatmap::upsample;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

const N: usize = 32;
/// Factor by which maps are enlarged for the structural similarity (SSIM).
const ENLARGED: u32 = 8;
/// Side of an SSIM window, in pixels of the enlarged map.
const WINDOW: usize = 8;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomisationStep {
    /// The stage that was randomised, in addition to all previous ones; `trained` for none.
    pub stage: String,
    /// Mean rank correlation with the trained network's maps, before the ReLU.
    pub spearman: Measured,
    /// Mean SSIM of the enlarged maps after the ReLU, each scaled to its own maximum.
    pub ssim: Measured,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Randomisation {
    /// From the trained network to a fully randomised one.
    pub steps: Vec<RandomisationStep>,
    /// Whether the interval of the last rank correlation lies below 0.5.
    pub passed: bool,
}

pub(super) fn measure(trained: &TrainedRun, maps: &Maps) -> Result<Randomisation> {
    let images = chosen(maps);
    let grey = grey_nchw(&maps.pixels, &images, trained.device);
    let patients: Vec<usize> = images.iter().map(|image| maps.patients[*image]).collect();
    let (resamples, seed) = (trained.config.evaluation.resamples, trained.config.seed);
    let architecture = trained.config.model.architecture;
    let random_network = || Network::new(architecture, 0.0, Precision::Fp32, trained.device);
    tch::manual_seed(seed as i64);
    let (network, random) = (random_network(), random_network());
    weights::copy(&trained.network.named_tensors(), &network.named_tensors())?;
    let (own, random) = (network.named_tensors(), random.named_tensors());
    let reference = maps_of(&network, &grey)?;
    let mut steps = Vec::new();
    for stage in std::iter::once("trained".to_owned()).chain(stages(&network)?) {
        tch::no_grad(|| {
            for (name, tensor) in own.iter().filter(|(name, _)| stage_of(name) == stage) {
                tensor.shallow_clone().copy_(&random[name]);
            }
        });
        let found = maps_of(&network, &grey)?;
        let similarity = |of: &dyn Fn(&[f32], &[f32]) -> f64| -> Result<Measured> {
            let values: Vec<f64> = reference.iter().zip(&found).map(|(a, b)| of(a, b)).collect();
            mean(&values, &patients, (resamples, seed)).context("images of fewer than two patients")
        };
        // The rank correlation with a constant map is undefined.
        let spearman = similarity(&|a, b| spearman(a, b).unwrap_or(0.0))?;
        let ssim = similarity(&|a, b| structural_similarity(a, b, maps.map_size))?;
        say(format!(
            "  {stage:<24} rank correlation {:+.3}  structural similarity {:+.3}",
            spearman.value, ssim.value
        ));
        steps.push(RandomisationStep { stage, spearman, ssim });
    }
    let passed = steps.last().is_some_and(|last| last.spearman.ci95[1] < 0.5);
    let result = if passed { "passed" } else { "FAILED" };
    say(format!("randomisation check on {} images: {result}", images.len()));
    Ok(Randomisation { steps, passed })
}

/// Images from the half of the fold with the higher probabilities, because other maps may show no evidence.
fn chosen(maps: &Maps) -> Vec<usize> {
    let mut order: Vec<usize> = (0..maps.pixels.len()).collect();
    order.sort_by(|a, b| maps.probabilities[*b].total_cmp(&maps.probabilities[*a]));
    let half = order.len().div_ceil(2);
    let n = N.min(half);
    let mut images: Vec<usize> = (0..n).map(|i| order[i * half / n]).collect();
    images.sort_unstable();
    images
}

/// Stages from the classifier to the input; within a stage of the architecture, in reverse order of creation.
fn stages(network: &Network) -> Result<Vec<String>> {
    let named = network.named_tensors();
    let mut stages: Vec<(usize, String)> = Vec::new();
    for parameter in network.parameters().trainable_variables().iter().rev() {
        let is_same = |(_, tensor): &(&String, &Tensor)| tensor.data_ptr() == parameter.data_ptr();
        let (name, _) = named.iter().find(is_same).context("a parameter without a name")?;
        let stage = (network.architecture().stages_to_head(name), stage_of(name));
        if !stages.contains(&stage) {
            stages.push(stage);
        }
    }
    stages.sort_by_key(|(depth, _)| *depth);
    Ok(stages.into_iter().map(|(_, stage)| stage).collect())
}

/// The first two parts of a tensor's path, without the tensor's own name.
fn stage_of(name: &str) -> String {
    let path: Vec<&str> = name.split('.').collect();
    path[..path.len().saturating_sub(1).min(2)].join(".")
}

fn maps_of(network: &Network, grey: &Tensor) -> Result<Vec<Vec<f32>>> {
    let cam = network.outputs(grey).cam.to_device(Device::Cpu);
    Ok(Vec::try_from(cam.flatten(1, -1).contiguous())?)
}

fn structural_similarity(a: &[f32], b: &[f32], (columns, rows): (u32, u32)) -> f64 {
    let size = (columns * ENLARGED, rows * ENLARGED);
    let enlarged = |map: &[f32]| {
        let values: Vec<f32> =
            upsample(map, (columns, rows), size).iter().map(|value| value.max(0.0)).collect();
        let peak = values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        values.into_iter().map(|value| value / peak).collect::<Vec<_>>()
    };
    ssim(&enlarged(a), &enlarged(b), size.0 as usize, WINDOW).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Architecture, Precision};

    #[test]
    fn stages_go_from_the_classifier_to_the_input() {
        let stages_of =
            |architecture| stages(&Network::new(architecture, 0.0, Precision::Fp32, Device::Cpu)).unwrap();
        let mut expected = vec!["classifier".to_owned()];
        expected.extend((0..19).rev().map(|i| format!("features.{i}")));
        assert_eq!(stages_of(Architecture::MobileNetV2), expected);
        let resnet = stages_of(Architecture::ResNet50);
        let ends = |at: usize| resnet[at].as_str();
        assert_eq!(
            (ends(1), ends(2), ends(resnet.len() - 1)),
            ("layer4.2", "layer4.1", "conv1"),
            "{resnet:?}"
        );
    }
}
