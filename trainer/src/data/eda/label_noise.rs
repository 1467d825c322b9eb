//! Label noise by confident learning (Northcutt et al. 2021). The probabilities come from a logistic
//! regression, cross-validated by patient, on features of a network that was not trained on these labels. The
//! published test split is left out.

use crate::config::Config;
use crate::data::entry::{Entry, OfficialSplit};
use crate::data::groups::groups;
use crate::data::index::Index;
use crate::data::parallel::parallel;
use crate::data::readable::read;
use crate::data::recipe::Recipe;
use crate::model::logistic;
use crate::model::{Network, Precision};
use crate::progress::{Meter, say};
use anyhow::{Context, Result};
use cxr::analysis::label_noise::ConfidentLearning;
use cxr::analysis::scoring::roc::auc;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

const BATCH: usize = 64;
/// Largest number of principal components, to limit overfitting.
const COMPONENTS: i64 = 256;

/// Arrays are negative, positive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelNoise {
    pub features: String,
    pub n: usize,
    pub folds: usize,
    pub auc: f64,
    /// Mean log loss in nats.
    pub log_loss: f64,
    /// See [`ConfidentLearning::thresholds`].
    pub thresholds: [f64; 2],
    /// See [`ConfidentLearning::confident_joint`].
    pub confident_joint: [[usize; 2]; 2],
    /// See [`ConfidentLearning::joint`].
    pub joint: [[f64; 2]; 2],
    /// See [`ConfidentLearning::noise_rates`].
    pub noise_rates: [f64; 2],
    /// Worst first.
    pub suspects: Vec<LabelSuspect>,
}

/// An image whose label the scores contradict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSuspect {
    pub path: String,
    pub positive: bool,
    /// Cross-validated probability of the label.
    pub self_confidence: f64,
}

#[derive(Debug)]
pub struct Scored {
    /// Cross-validated, of the positive class.
    pub probabilities: Vec<f64>,
    pub positive: Vec<bool>,
}

/// Scores every usable image outside of the published test split and finds suspect labels.
pub fn measure(
    config: &Config,
    index: &Index,
    unreadable: &BTreeMap<String, String>,
    device: Device,
) -> Result<(LabelNoise, Scored)> {
    let is_scored =
        |entry: &&Entry| entry.split != OfficialSplit::Test && !unreadable.contains_key(&entry.path);
    let entries: Vec<Entry> = index.entries.iter().filter(is_scored).cloned().collect();
    let (features, embeddings) = embeddings(config, index, &entries, device)?;
    let fold_of = folds(&entries, config.audit.label_folds, config.seed);
    let positive: Vec<bool> = entries.iter().map(|entry| entry.positive).collect();
    let reduced = principal_components(&embeddings)?;
    let probabilities = cross_validate(config, &reduced, &positive, &fold_of)?;
    let found = ConfidentLearning::of(&probabilities, &positive).context("the scores cannot be judged")?;
    let suspect = |suspect: &cxr::analysis::label_noise::Suspect| LabelSuspect {
        path: entries[suspect.position].path.clone(),
        positive: positive[suspect.position],
        self_confidence: suspect.self_confidence,
    };
    let own = probabilities.iter().zip(&positive).map(|(p, label)| if *label { *p } else { 1.0 - p });
    let noise = LabelNoise {
        features,
        n: entries.len(),
        folds: config.audit.label_folds,
        auc: auc(&probabilities, &positive).context("all images are of one class")?,
        log_loss: own.map(|p| -p.max(1e-15).ln()).sum::<f64>() / entries.len() as f64,
        thresholds: found.thresholds,
        confident_joint: found.confident_joint,
        joint: found.joint,
        noise_rates: found.noise_rates,
        suspects: found.suspects.iter().map(suspect).collect(),
    };
    Ok((noise, Scored { probabilities, positive }))
}

/// Description of the network, and its pooled features, float64 `[n, D]`.
fn embeddings(config: &Config, index: &Index, entries: &[Entry], device: Device) -> Result<(String, Tensor)> {
    tch::manual_seed(config.seed as i64);
    let model = &config.model;
    let network = Network::new(model.architecture, 0.0, Precision::Fp32, device);
    let mut features = format!("{}, random weights", model.architecture.name());
    if let Some(file) = &model.weights {
        network.load_backbone(file)?;
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        features = format!("{}, {}", model.architecture.name(), name.unwrap_or_default());
    }
    let recipe = Recipe { acceptance: config.acceptance, preprocess: config.preprocess };
    let (width, height) = (i64::from(recipe.preprocess.width), i64::from(recipe.preprocess.height));
    let meter = Meter::new("features for the label noise", entries.len());
    let mut batches = Vec::new();
    for entries in entries.chunks(BATCH) {
        let pixels = parallel(entries, meter.bar(), |_, entry| -> Result<Vec<u8>> {
            let input = read(index, entry).and_then(|bytes| recipe.prepare(&bytes));
            Ok(input.with_context(|| entry.path.clone())?.pixels().to_vec())
        })?;
        let pixels = pixels.into_iter().collect::<Result<Vec<_>>>()?.concat();
        let grey = Tensor::from_data_size(&pixels, &[entries.len() as i64, 1, height, width], Kind::Uint8);
        let outputs = network.outputs(&grey.to_device(device).to_kind(Kind::Float));
        batches.push(outputs.embedding.to_device(Device::Cpu).to_kind(Kind::Double));
        meter.advance(0, String::new);
    }
    Ok((features, Tensor::cat(&batches, 0)))
}

/// The fold of every entry. Groups stay together, and both labels are spread evenly.
fn folds(entries: &[Entry], n_folds: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut negative, mut positive): (Vec<_>, Vec<_>) =
        groups(&entries.iter().collect::<Vec<_>>()).into_iter().partition(|group| !group.positive);
    let mut fold_of = BTreeMap::new();
    for groups in [&mut negative, &mut positive] {
        groups.shuffle(&mut rng);
        let mut sizes = vec![0; n_folds];
        for group in groups {
            let smallest = (0..n_folds).min_by_key(|fold| sizes[*fold]).unwrap_or_default();
            sizes[smallest] += group.paths.len();
            fold_of.extend(group.paths.drain(..).map(|path| (path, smallest)));
        }
    }
    entries.iter().map(|entry| fold_of.get(&entry.path).copied().unwrap_or_default()).collect()
}

/// The leading principal components `[n, k]` of all images.
fn principal_components(features: &Tensor) -> Result<Tensor> {
    let centred = features - features.mean_dim([0i64].as_slice(), true, Kind::Double);
    let (n, d) = (centred.size()[0], centred.size()[1]);
    let k = COMPONENTS.min(d).min((n / 4).max(1));
    // Both Gram matrices have the same leading eigenvalues; the smaller one is faster.
    let reduced = if n < d {
        let (values, vectors) = centred.matmul(&centred.tr()).linalg_eigh("L");
        vectors.narrow(1, n - k, k) * values.narrow(0, n - k, k).clamp_min(0.0).sqrt()
    } else {
        let (_, vectors) = centred.tr().matmul(&centred).linalg_eigh("L");
        centred.matmul(&vectors.narrow(1, d - k, k))
    };
    anyhow::ensure!(reduced.isfinite().all().int64_value(&[]) == 1, "the features are not finite");
    Ok(reduced)
}

fn cross_validate(
    config: &Config,
    features: &Tensor,
    positive: &[bool],
    fold_of: &[usize],
) -> Result<Vec<f64>> {
    let mut probabilities = vec![0.0; positive.len()];
    for fold in 0..config.audit.label_folds {
        let (held_out, fitted): (Vec<usize>, Vec<usize>) =
            (0..positive.len()).partition(|position| fold_of[*position] == fold);
        let rows = |positions: &[usize]| {
            let positions: Vec<i64> = positions.iter().map(|position| *position as i64).collect();
            features.index_select(0, &Tensor::from_slice(&positions))
        };
        let labels: Vec<bool> = fitted.iter().map(|position| positive[*position]).collect();
        let model = logistic::fit(&rows(&fitted), &labels, config.audit.label_ridge)
            .context("too few patients for the cross-validation of the labels")?;
        for (position, logit) in held_out.iter().zip(model.logits(&rows(&held_out))?) {
            probabilities[*position] = 1.0 / (1.0 + (-logit).exp());
        }
    }
    Ok(probabilities)
}

impl LabelNoise {
    pub fn print(&self) {
        say(format!(
            "label noise ({} images, {}, cross-validated AUC {:.4}, log loss {:.4}): {:.2} % of the negative and {:.2} % of the positive labels, {} suspects",
            self.n,
            self.features,
            self.auc,
            self.log_loss,
            self.noise_rates[0] * 100.0,
            self.noise_rates[1] * 100.0,
            self.suspects.len()
        ));
        for suspect in self.suspects.iter().take(10) {
            let probability = suspect.self_confidence;
            say(format!("  {}: its label has probability {probability:.4}", suspect.path));
        }
    }
}
