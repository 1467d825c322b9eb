//! Remedies: what can be done about corrupted or shifted images without training again, judged on the select fold, never on
//! the test split.

use super::condition::{Condition, Ground};
use super::corruption::{Corruption, corrupted};
use crate::dataset::pixels::Pixels;
use crate::model::{Network, Precision, weights};
use crate::score::{grey_nchw, score_images};
use crate::trained::TrainedRun;
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// The remedies' names.
pub const REMEDIES: [&str; 3] = ["test-time augmentation", "AdaBN", "CORAL"];

/// The shifts under which they are judged.
const SHIFTS: [Option<Corruption>; 5] = [
    None,
    Some(Corruption::Noise),
    Some(Corruption::Blur),
    Some(Corruption::Contrast),
    Some(Corruption::Gamma),
];
/// At this severity.
const SEVERITY: usize = 3;
/// Images a batch when statistics are estimated again.
const BATCH: usize = 64;
/// Passes over the images; with a momentum of 0.1 the old statistics keep less than 3 % of their weight after 36 batches.
const PASSES: usize = 5;

/// A remedy under one shift.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mitigation {
    /// Which remedy.
    pub name: String,
    /// Which corruption; none for the images as they are.
    pub shift: Option<Corruption>,
    /// Without the remedy.
    pub before: Condition,
    /// With it.
    pub after: Condition,
}

pub(super) fn measure(
    remedy: &str,
    trained: &TrainedRun,
    pixels: &Pixels,
    ground: &Ground,
) -> Result<Vec<Mitigation>> {
    SHIFTS
        .into_iter()
        .map(|shift| {
            let images = |positions: &[usize]| -> Result<Tensor> {
                match shift {
                    None => Ok(grey_nchw(pixels, positions, trained.device)),
                    Some(corruption) => corrupted(
                        pixels,
                        positions,
                        (corruption, SEVERITY),
                        trained.config.seed,
                        trained.device,
                    ),
                }
            };
            let n = pixels.len();
            let before = score_images(&trained.network, n, images)?;
            let after = match remedy {
                "test-time augmentation" => averaged(&trained.network, n, images)?,
                "AdaBN" => score_images(&adapted(trained, n, images)?, n, images)?,
                "CORAL" => aligned(trained, pixels, images)?,
                other => bail!("no remedy is called {other:?}"),
            };
            let (before, after) = (ground.judge(&before)?, ground.judge(&after)?);
            Ok(Mitigation { name: remedy.to_owned(), shift, before, after })
        })
        .collect()
}

/// Mean logit of the image, its mirror, and both moved by two pixels.
fn averaged(network: &Network, n: usize, images: impl Fn(&[usize]) -> Result<Tensor>) -> Result<Vec<f64>> {
    let views: [fn(&Tensor) -> Tensor; 4] = [
        Tensor::shallow_clone,
        |x| x.flip([3]),
        |x| x.roll([2, 2], [2, 3]),
        |x| x.flip([3]).roll([-2, -2], [2, 3]),
    ];
    let mut sums = vec![0.0; n];
    for view in views {
        let logits = score_images(network, n, |positions| Ok(view(&images(positions)?)))?;
        sums.iter_mut().zip(logits).for_each(|(sum, logit)| *sum += logit / 4.0);
    }
    Ok(sums)
}

/// A copy of the network whose batch normalisation has the statistics of these images (AdaBN, Li et al. 2018); no label
/// is used.
fn adapted(trained: &TrainedRun, n: usize, images: impl Fn(&[usize]) -> Result<Tensor>) -> Result<Network> {
    let model = &trained.config.model;
    let copy = Network::new(model.architecture, 0.0, Precision::Fp32, trained.device);
    weights::copy(&trained.network.named_tensors(), &copy.named_tensors())?;
    let positions: Vec<usize> = (0..n).collect();
    for _ in 0..PASSES {
        for positions in positions.chunks_exact(BATCH.min(n)) {
            let images = images(positions)?;
            let _ = tch::no_grad(|| copy.logits(&images, true));
        }
    }
    Ok(copy)
}

/// Logits of embeddings whose mean and covariance are brought to those of the clean images (CORAL, Sun, Feng and Saenko
/// 2016), the classifier unchanged.
fn aligned(
    trained: &TrainedRun,
    pixels: &Pixels,
    images: impl Fn(&[usize]) -> Result<Tensor>,
) -> Result<Vec<f64>> {
    let embed = |images: &dyn Fn(&[usize]) -> Result<Tensor>| -> Result<Tensor> {
        let positions: Vec<usize> = (0..pixels.len()).collect();
        let parts = positions
            .chunks(BATCH)
            .map(|positions| Ok(trained.network.outputs(&images(positions)?).embedding.to_kind(Kind::Double)))
            .collect::<Result<Vec<Tensor>>>()?;
        Ok(Tensor::cat(&parts, 0))
    };
    let source = embed(&|positions| Ok(grey_nchw(pixels, positions, trained.device)))?;
    let target = embed(&images)?;
    let moments = |x: &Tensor| {
        let mean = x.mean_dim([0i64].as_slice(), true, Kind::Double);
        let centred = x - &mean;
        let d = centred.size()[1];
        // The ridge of one, as in the original, keeps directions that a few hundred images cannot estimate.
        let covariance = centred.tr().matmul(&centred) / (centred.size()[0] - 1) as f64
            + Tensor::eye(d, (Kind::Double, x.device()));
        (mean, covariance)
    };
    let power = |covariance: &Tensor, exponent: f64| {
        let (values, vectors) = covariance.linalg_eigh("L");
        (&vectors * values.clamp_min(1e-9).pow_tensor_scalar(exponent)).matmul(&vectors.tr())
    };
    let ((source_mean, source_cov), (target_mean, target_cov)) = (moments(&source), moments(&target));
    let moved = (target - target_mean).matmul(&power(&target_cov, -0.5)).matmul(&power(&source_cov, 0.5))
        + source_mean;
    let named = trained.network.named_tensors();
    let (weight, bias) = (&named["classifier.weight"], &named["classifier.bias"]);
    let logits =
        tch::no_grad(|| moved.matmul(&weight.to_kind(Kind::Double).tr()) + bias.to_kind(Kind::Double));
    Ok(Vec::try_from(logits.flatten(0, -1))?)
}
