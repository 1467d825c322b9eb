//! Shortcut probes: how well features without clinical meaning predict the class, and how the network reacts
//! when regions outside of the lungs are masked, swapped or written on.

use super::classifier::{self, ClassifierProbe, classify};
use super::figures::Evaluator;
use super::model::ModelUnderTest;
use crate::markdown::measured;
use crate::progress::say;
use anyhow::Result;
use cxr::analysis::corrupt::{Corruption, Region, fill, is_in, swap_region};
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::Measured;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Width of the border, as a share of the side.
pub const BORDER: f64 = 0.1;
/// Side of a corner, as a share of the side.
pub const CORNER: f64 = 0.2;
pub const BORDER_ONLY: &str = "only the border visible";
/// Width of the border that stays visible when the centre is masked, as a share of the side.
const CENTRE: f64 = 0.25;
const LETTERS_SEVERITY: u8 = 3;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probes {
    pub classifiers: Vec<ClassifierProbe>,
    pub changes: Vec<ChangeProbe>,
}

/// The network on changed images, compared with the same network on the clean ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeProbe {
    pub name: String,
    pub auc: Measured,
    pub auc_change: Measured,
    /// Mean change of the calibrated log-odds.
    pub shift_negative: Measured,
    pub shift_positive: Measured,
    /// Share of the images whose decision flips.
    pub flips_negative: Measured,
    pub flips_positive: Measured,
}

pub fn measure_probes(model: &mut ModelUnderTest) -> Result<Probes> {
    let mut classifiers = classifier::of_originals(model)?;
    for (name, region) in
        [("border statistics", Region::Border(BORDER)), ("corner statistics", Region::Corners(CORNER))]
    {
        let rows: Vec<Vec<f64>> = (0..model.n()).map(|image| patches(model, image, region)).collect();
        classifiers.push(classify(name, &rows, &model.evaluator));
    }
    for probe in &classifiers {
        let found = probe.auc.map_or_else(|| probe.not_measured.clone().unwrap_or_default(), |m| with_n(&m));
        say(format!("  class from {:<26} {found}", probe.name));
    }
    Ok(Probes { classifiers, changes: changes(model)? })
}

/// Mean, standard deviation, share of black and share of white of the region in each quarter of the image.
fn patches(model: &ModelUnderTest, image: usize, region: Region) -> Vec<f64> {
    let size = model.size();
    let mut quarters: [Vec<f64>; 4] = Default::default();
    for (position, level) in (0u32..).zip(model.resized.image(image)) {
        let (column, row) = (position % size.0, position / size.0);
        if is_in(region, size, column, row) {
            let quarter = usize::from(column >= size.0 / 2) + 2 * usize::from(row >= size.1 / 2);
            quarters[quarter].push(f64::from(*level));
        }
    }
    let figures = |levels: &Vec<f64>| {
        let n = levels.len().max(1) as f64;
        let mean = levels.iter().sum::<f64>() / n;
        let variance = levels.iter().map(|level| (level - mean).powi(2)).sum::<f64>() / n;
        let share = |is: fn(f64) -> bool| levels.iter().filter(|level| is(**level)).count() as f64 / n;
        [mean, variance.sqrt(), share(|level| level < 8.0), share(|level| level > 247.0)]
    };
    quarters.iter().flat_map(figures).collect()
}

fn changes(model: &mut ModelUnderTest) -> Result<Vec<ChangeProbe>> {
    let clean = model.clean()?;
    let grey = mean_level(model);
    let mut found = Vec::new();
    for (name, condition, region) in [
        ("corners masked", "probe-corners-masked", Region::Corners(CORNER)),
        ("border masked", "probe-border-masked", Region::Border(BORDER)),
        (BORDER_ONLY, "probe-border-only", Region::Centre(BORDER)),
        ("centre masked", "probe-centre-masked", Region::Centre(CENTRE)),
    ] {
        let logits = model.scores_under(condition, |model, image| {
            let mut pixels = model.resized.image(image).to_vec();
            fill(&mut pixels, model.size(), region, grey);
            pixels
        })?;
        found.push(change(model, name, &clean, &logits)?);
    }
    // The seam alone can change a score: only the difference between the two classes of partner counts.
    for (name, condition, region, is_other_class) in [
        ("border of the other class", "probe-border-other", Region::Border(BORDER), true),
        ("border of the same class", "probe-border-same", Region::Border(BORDER), false),
        ("corners of the other class", "probe-corners-other", Region::Corners(CORNER), true),
        ("corners of the same class", "probe-corners-same", Region::Corners(CORNER), false),
    ] {
        let partners = partners(&model.evaluator, is_other_class);
        let logits = model.scores_under(condition, |model, image| {
            let (own, other) = (model.resized.image(image), model.resized.image(partners[image]));
            swap_region(own, other, model.size(), region)
        })?;
        found.push(change(model, name, &clean, &logits)?);
    }
    let logits = super::corruptions::corrupted(model, Corruption::BurnedInText, LETTERS_SEVERITY)?;
    found.push(change(model, "letters burned in", &clean, &logits)?);
    Ok(found)
}

fn change(model: &ModelUnderTest, name: &str, clean: &[f64], logits: &[f64]) -> Result<ChangeProbe> {
    let evaluator = &model.evaluator;
    let (before, after) = (model.probabilities(clean), model.probabilities(logits));
    let scale = model.calibration.scale;
    let shift: Vec<f64> = clean.iter().zip(logits).map(|(old, new)| scale * (new - old)).collect();
    let is_flagged = |p: &f64| *p >= evaluator.threshold;
    let flips: Vec<f64> = before
        .iter()
        .zip(&after)
        .map(|(old, new)| f64::from(u8::from(is_flagged(old) != is_flagged(new))))
        .collect();
    let mean = |values: &[f64], label: bool| {
        evaluator.measure(name, evaluator.n(label), |images| {
            let of: Vec<f64> =
                images.iter().filter(|i| evaluator.positive[**i] == label).map(|i| values[*i]).collect();
            (!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64)
        })
    };
    let probe = ChangeProbe {
        name: name.to_owned(),
        auc: evaluator.score(name, evaluator.positive.len(), logits, auc)?,
        auc_change: evaluator.change(name, clean, logits, auc)?,
        shift_negative: mean(&shift, false)?,
        shift_positive: mean(&shift, true)?,
        flips_negative: mean(&flips, false)?,
        flips_positive: mean(&flips, true)?,
    };
    say(format!(
        "  {name:<28} AUC {}  log-odds {:+.2} negatives, {:+.2} positives  flips {:.3}, {:.3}",
        with_n(&probe.auc),
        probe.shift_negative.value,
        probe.shift_positive.value,
        probe.flips_negative.value,
        probe.flips_positive.value
    ));
    Ok(probe)
}

fn with_n(figure: &Measured) -> String {
    format!("{}  n {}", measured(figure), figure.n)
}

/// The fold's mean level, the least conspicuous one for a mask.
fn mean_level(model: &ModelUnderTest) -> u8 {
    let levels = (0..model.n()).flat_map(|image| model.resized.image(image));
    let (n, sum) = levels.fold((0u64, 0u64), |(n, sum), level| (n + 1, sum + u64::from(*level)));
    (sum / n.max(1)) as u8
}

/// For each image a random one of another patient, of the other class or of the same.
fn partners(evaluator: &Evaluator, is_other_class: bool) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(evaluator.seed);
    let n = evaluator.positive.len();
    let draw = |image: usize| {
        let fits = |other: &usize| {
            (evaluator.positive[*other] != evaluator.positive[image]) == is_other_class
                && evaluator.patients[*other] != evaluator.patients[image]
        };
        let fitting: Vec<usize> = (0..n).filter(fits).collect();
        // If the class has one patient only, its images stay unchanged.
        if fitting.is_empty() { image } else { fitting[rng.random_range(0..fitting.len())] }
    };
    (0..n).map(draw).collect()
}
