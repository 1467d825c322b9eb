//! Weight soups: the mean of the weights of several runs that began from the same weights, as one network of the same
//! size. Greedy (Wortsman et al. 2022a): runs join in the order of their own loss, and only where the mean gets no worse.
//! Everything is judged on the select fold.

mod ingredient;
mod judge;
mod statistics;

pub use ingredient::{Ingredient, from_study};
pub use judge::Judgement;

use crate::config::Config;
use crate::data::folds::{Fold, Folds};
use crate::data::index::Index;
use crate::files::{write_atomically, write_json};
use crate::model::weights::{NamedTensors, copy, encode};
use crate::model::{Network, Precision};
use crate::progress::say;
use crate::run::RunDirectory;
use anyhow::{Context, Result, ensure};
use judge::Judge;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tch::{Device, Kind};

/// The file in the run directory.
const FILE: &str = "soup.json";

/// Which statistics of batch normalisation the mean of the weights gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Statistics {
    /// The mean of the runs' statistics.
    Averaged,
    /// Recomputed on the train fold, without augmentation, with the mean weights.
    Estimated,
    /// Whichever gives the smaller loss; never stored as a value.
    Better,
}

/// What a soup is made with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe {
    /// Augmented copies of the select fold that are judged beside it.
    pub augmented_copies: usize,
    /// Which statistics.
    pub statistics: Statistics,
    /// Share of the pretrained backbone in the result (WiSE-FT, Wortsman et al. 2022b).
    pub towards_pretrained: Option<f64>,
}

/// `soup.json`: what became of which run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Soup {
    /// The weights that it describes.
    pub weights_sha256: String,
    /// The runs in the order in which they were tried.
    pub ingredients: Vec<Tried>,
    /// Augmented copies of the select fold that were judged beside it.
    pub augmented_copies: usize,
    /// With the mean of the runs' statistics.
    pub averaged: Judgement,
    /// With statistics of the train fold; none where nobody asked.
    pub estimated: Option<Judgement>,
    /// Which of the two were taken.
    pub statistics: Statistics,
    /// The step towards the pretrained backbone.
    pub towards_pretrained: Option<Towards>,
    /// The result.
    pub result: Judgement,
}

/// A run that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// Its directory.
    pub run: PathBuf,
    /// Its weights.
    pub weights_sha256: String,
    /// Alone.
    pub alone: Judgement,
    /// The mean with it.
    pub with_it: Judgement,
    /// Whether it stayed.
    pub kept: bool,
}

/// A step towards the pretrained backbone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Towards {
    /// Share of the pretrained weights.
    pub share: f64,
    /// Before the step.
    pub before: Judgement,
}

impl Soup {
    /// Reads `soup.json`; none where the run is no soup.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn load(run: &RunDirectory) -> Result<Option<Self>> {
        let file = run.file(FILE);
        if !file.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{}: is no soup", file.display())).map(Some)
    }
}

/// Makes a soup of `runs` in the run directory `out`, whose configuration must be that of the first.
///
/// # Errors
/// When a run does not fit the first, or `out` holds a trained run.
pub fn soup(
    config: &Config,
    out: &RunDirectory,
    runs: &[PathBuf],
    recipe: &Recipe,
    device: Device,
) -> Result<Soup> {
    ensure!(!runs.is_empty(), "a soup needs at least one run");
    ensure!(
        !out.checkpoint().exists() && (!out.best_weights().exists() || out.file(FILE).exists()),
        "{}: holds a trained run; choose another --run for the soup",
        out.name()
    );
    let index = Index::of(config)?;
    let folds = Folds::frozen(&out.folds(), &index, config)?;
    let mut ingredients = runs.iter().map(|run| Ingredient::open(run, out)).collect::<Result<Vec<_>>>()?;
    ingredients[0].ensure_configured_as(out)?;
    let network = Network::new(config.model.architecture, 0.0, Precision::Fp32, device);
    let judge = Judge::new(config, &index, &folds, recipe.augmented_copies, device)?;
    let (kept, tried) = greedy(&network, &judge, &mut ingredients)?;

    mean(&kept, &network)?;
    let averaged = judge.judge(&network)?;
    let mut result = averaged;
    let mut statistics = Statistics::Averaged;
    let mut estimated = None;
    if recipe.statistics != Statistics::Averaged {
        let train = judge::decode_fold(config, &index, &folds, Fold::Train)?;
        let own = snapshot(&network);
        statistics::estimate(&network, &train, device);
        let again = judge.judge(&network)?;
        estimated = Some(again);
        if recipe.statistics == Statistics::Estimated || again.judged < averaged.judged {
            (result, statistics) = (again, Statistics::Estimated);
        } else {
            copy(&own, &network.named_tensors())?;
        }
        if let Some(share) = recipe.towards_pretrained {
            step_towards(config, &network, share, device)?;
            if statistics == Statistics::Estimated {
                statistics::estimate(&network, &train, device);
            }
        }
    } else if let Some(share) = recipe.towards_pretrained {
        step_towards(config, &network, share, device)?;
    }
    let towards_pretrained = recipe.towards_pretrained.map(|share| Towards { share, before: result });
    if towards_pretrained.is_some() {
        result = judge.judge(&network)?;
    }
    let note = ingredients[0].note_with(&result)?;
    let bytes = encode(&network.named_tensors(), note)?;
    write_atomically(&out.best_weights(), &bytes)?;
    let soup = Soup {
        weights_sha256: cxr::bundle::sha256_hex(&bytes),
        ingredients: tried,
        augmented_copies: recipe.augmented_copies,
        averaged,
        estimated,
        statistics,
        towards_pretrained,
        result,
    };
    write_json(&out.file(FILE), &soup)?;
    report(&soup, &out.best_weights());
    Ok(soup)
}

/// Adds runs in the order of their own loss as long as the mean gets no worse.
fn greedy(
    network: &Network,
    judge: &Judge,
    ingredients: &mut [Ingredient],
) -> Result<(Vec<NamedTensors>, Vec<Tried>)> {
    let mut alone = Vec::new();
    for ingredient in ingredients.iter() {
        mean(std::slice::from_ref(&ingredient.tensors), network)
            .with_context(|| format!("{}: does not fit", ingredient.run.display()))?;
        alone.push(judge.judge(network)?);
        say(format!("{}: {}", ingredient.run.display(), alone[alone.len() - 1]));
    }
    let mut order: Vec<usize> = (0..ingredients.len()).collect();
    order.sort_by(|a, b| alone[*a].judged.total_cmp(&alone[*b].judged).then(a.cmp(b)));
    let (mut kept, mut tried) = (Vec::<NamedTensors>::new(), Vec::new());
    let mut so_far = f64::INFINITY;
    for position in order {
        let ingredient = &ingredients[position];
        kept.push(
            ingredient.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect(),
        );
        mean(&kept, network)?;
        let with_it = judge.judge(network)?;
        let stays = with_it.judged <= so_far;
        if stays {
            so_far = with_it.judged;
        } else {
            kept.pop();
        }
        let verdict = if stays { "kept" } else { "left out" };
        say(format!("with {}: {with_it}, {verdict}", ingredient.run.display()));
        tried.push(Tried {
            run: ingredient.run.clone(),
            weights_sha256: ingredient.weights_sha256.clone(),
            alone: alone[position],
            with_it,
            kept: stays,
        });
    }
    Ok((kept, tried))
}

/// Puts the mean of several sets of tensors into a network; summed in double precision.
fn mean(sets: &[NamedTensors], network: &Network) -> Result<()> {
    let first = sets.first().context("nothing to take the mean of")?;
    let mut means = NamedTensors::new();
    for name in first.keys() {
        let mut sum = first[name].to_kind(Kind::Double);
        for set in &sets[1..] {
            sum +=
                set.get(name).with_context(|| format!("{name}: is missing in a run"))?.to_kind(Kind::Double);
        }
        means.insert(name.clone(), (sum / sets.len() as f64).to_kind(Kind::Float));
    }
    copy(&means, &network.named_tensors())
}

fn snapshot(network: &Network) -> NamedTensors {
    network.named_tensors().into_iter().map(|(name, tensor)| (name, tensor.detach().copy())).collect()
}

/// Moves the backbone towards the pretrained one; the classifier has no counterpart there and stays.
fn step_towards(config: &Config, network: &Network, share: f64, device: Device) -> Result<()> {
    ensure!((0.0..=1.0).contains(&share), "--towards-pretrained: {share} is not in [0, 1]");
    let file = config.model.weights.as_ref();
    let file =
        file.context("--towards-pretrained: trainer.model.weights is null, there is no pretrained backbone")?;
    let pretrained = Network::new(config.model.architecture, 0.0, Precision::Fp32, device);
    pretrained.load_backbone(file)?;
    let theirs = pretrained.named_tensors();
    tch::no_grad(|| {
        for (name, mut tensor) in network.named_tensors() {
            if !Network::is_head(&name) {
                let _ = tensor.lerp_(&theirs[&name], share);
            }
        }
    });
    Ok(())
}

fn report(soup: &Soup, file: &Path) {
    let n_kept = soup.ingredients.iter().filter(|tried| tried.kept).count();
    say(format!(
        "{n_kept} of {} runs, {} statistics: {}: {}",
        soup.ingredients.len(),
        match soup.statistics {
            Statistics::Averaged => "averaged",
            _ => "estimated",
        },
        soup.result,
        file.display()
    ));
}
