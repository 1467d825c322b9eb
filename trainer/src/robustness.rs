//! Robustness: what corruptions, shortcuts and their remedies do to the figures of the select fold. The test split is not
//! touched. Every result is written down as it is found, so a killed command goes on where it stopped.

pub mod condition;
pub mod corruption;
pub mod mitigation;
pub mod probes;

use crate::calibrate::Calibrated;
use crate::console::say;
use crate::dataset::folds::Fold;
use crate::dataset::pixels::{Pixels, Recipe};
use crate::evaluate::patients;
use crate::figures::{self, Axes, Series};
use crate::files;
use crate::run::RunDirectory;
use crate::score::score_images;
use crate::train::decode;
use crate::trained::TrainedRun;
use anyhow::{Context, Result};
use condition::{Condition, Ground};
use corruption::Corruption;
use mitigation::Mitigation;
use probes::Probes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FILE: &str = "robustness.json";
/// Resamples of the patients: the many conditions need no third digit.
const RESAMPLES: usize = 400;

/// `robustness.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Robustness {
    /// The weights that were probed.
    pub weights_sha256: String,
    /// Images of the select fold.
    pub n: usize,
    /// The images as they are.
    pub clean: Condition,
    /// By corruption, then by severity.
    pub corruptions: BTreeMap<Corruption, BTreeMap<usize, Condition>>,
    /// Shortcut probes; none until all corruptions are done.
    pub probes: Option<Probes>,
    /// Remedies, judged on clean and corrupted select images.
    pub mitigations: Vec<Mitigation>,
    /// Whether nothing is left to do.
    pub complete: bool,
}

impl Robustness {
    /// What is on file for these weights.
    ///
    /// # Errors
    /// When the file is of another kind.
    pub fn load(run: &RunDirectory, weights_sha256: &str) -> Result<Option<Self>> {
        let found: Option<Self> = files::read_json(&run.file(FILE))?;
        Ok(found.filter(|found| found.weights_sha256 == weights_sha256))
    }

    /// Mean area under the curve over all corruptions and severities measured.
    pub fn mean_auc(&self) -> f64 {
        self.mean(|condition| condition.auc.value)
    }

    /// Mean log loss over them.
    pub fn mean_log_loss(&self) -> f64 {
        self.mean(|condition| condition.log_loss)
    }

    fn mean(&self, figure: impl Fn(&Condition) -> f64) -> f64 {
        let values: Vec<f64> = self.corruptions.values().flat_map(BTreeMap::values).map(figure).collect();
        values.iter().sum::<f64>() / values.len() as f64
    }
}

/// Measures what is not on file yet and writes it down.
///
/// # Errors
/// When data, run and configuration do not agree.
pub fn robustness(trained: &TrainedRun, calibrated: &Calibrated) -> Result<Robustness> {
    let (pixels, clean) = trained.score(Fold::Select)?;
    let ground = Ground {
        positive: pixels.positive(),
        patients: patients(&pixels),
        calibrated,
        clean: clean.logits,
        resamples: RESAMPLES,
        seed: trained.config.seed,
    };
    let mut found = match Robustness::load(trained.run, &trained.weights_sha256)? {
        Some(found) => found,
        None => Robustness {
            weights_sha256: trained.weights_sha256.clone(),
            n: pixels.len(),
            clean: ground.judge(&ground.clean)?,
            corruptions: BTreeMap::new(),
            probes: None,
            mitigations: Vec::new(),
            complete: false,
        },
    };
    measure_corruptions(trained, &pixels, &ground, &mut found)?;
    if found.probes.is_none() {
        found.probes = Some(measure_probes(trained, &pixels, &ground)?);
        write(trained.run, &found)?;
    }
    for remedy in mitigation::REMEDIES {
        if found.mitigations.iter().all(|done| done.name != remedy) {
            found.mitigations.extend(mitigation::measure(remedy, trained, &pixels, &ground)?);
            write(trained.run, &found)?;
        }
    }
    found.complete = true;
    write(trained.run, &found)?;
    files::write_figure(trained.run, "robustness.svg", &plot(&found)?)?;
    report(&found);
    Ok(found)
}

fn measure_corruptions(
    trained: &TrainedRun,
    pixels: &Pixels,
    ground: &Ground,
    found: &mut Robustness,
) -> Result<()> {
    for corruption in Corruption::ALL {
        for severity in &trained.config.robustness.severities {
            if found.corruptions.get(&corruption).is_some_and(|done| done.contains_key(severity)) {
                continue;
            }
            let logits = score_images(&trained.network, pixels.len(), |positions| {
                let what = (corruption, *severity);
                corruption::corrupted(pixels, positions, what, trained.config.seed, trained.device)
            })?;
            let condition = ground.judge(&logits)?;
            say(format!(
                "{:<12} {severity}  AUC {:.4}  log loss {:.4}  sensitivity {:.3}  specificity {:.3}",
                corruption.name(),
                condition.auc.value,
                condition.log_loss,
                condition.sensitivity,
                condition.specificity
            ));
            found.corruptions.entry(corruption).or_default().insert(*severity, condition);
            write(trained.run, found)?;
        }
    }
    Ok(())
}

fn measure_probes(trained: &TrainedRun, pixels: &Pixels, ground: &Ground) -> Result<Probes> {
    let mut network = BTreeMap::new();
    for (name, _) in probes::NETWORK {
        let condition = probes::condition(name, trained, pixels, ground)?;
        say(format!("{name:<16} AUC {:.4}  {} verdicts differ", condition.auc.value, condition.flips));
        network.insert(name.to_owned(), condition);
    }
    // The recipe that trains, without a stored JPEG of its own: the pixels are in the cache already.
    let config = trained.config;
    let recipe = Recipe { acceptance: config.acceptance, preprocess: config.preprocess };
    let train = decode(config, &trained.index, &trained.folds, Fold::Train, &recipe)?;
    Ok(Probes {
        network,
        border_statistics: probes::border_statistics(&train, pixels, ground)?,
        originals: probes::originals(trained)?,
    })
}

fn write(run: &RunDirectory, found: &Robustness) -> Result<()> {
    files::write_json(&run.file(FILE), found)
}

fn report(found: &Robustness) {
    say(format!(
        "select, {} images: AUC {:.4} clean, {:.4} in the mean of the corruptions; log loss {:.4} and {:.4}",
        found.n,
        found.clean.auc.value,
        found.mean_auc(),
        found.clean.log_loss,
        found.mean_log_loss()
    ));
}

/// Area under the curve against severity.
fn plot(found: &Robustness) -> Result<String> {
    let series: Vec<Series> = found
        .corruptions
        .iter()
        .map(|(corruption, conditions)| {
            let clean = std::iter::once((0.0, found.clean.auc.value));
            let points = conditions.iter().map(|(severity, c)| (*severity as f64, c.auc.value));
            Series::line(corruption.name(), clean.chain(points).collect())
        })
        .collect();
    let low = series.iter().flat_map(|s| &s.points).map(|point| point.1).fold(1.0, f64::min);
    let axes = Axes { title: "AUC on select by severity", x: "severity (0: clean)", y: "AUC" };
    figures::chart(&axes, (0.0..5.0, (low - 0.02).max(0.0)..1.002), &series).context("robustness.svg")
}
