//! Shortcut probes: how much figures that say nothing about the patient tell of the class, and what the network does when
//! the places that hold no lung are masked, exchanged or written on.

use super::figures::{Ruler, pick};
use super::headers;
use super::subject::Subject;
use crate::console::say;
use crate::logistic;
use anyhow::{Result, ensure};
use cxr::analysis::corrupt::{Corruption, Region, fill, is_in, swap_region};
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::Measured;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// Width of the border, as a share of the side.
pub const BORDER: f64 = 0.1;
/// Side of a corner, as a share of the side.
pub const CORNER: f64 = 0.2;
/// The change that leaves nothing but the border.
pub const BORDER_ONLY: &str = "only the border visible";
/// Width of the frame that stays when the centre is masked.
const CENTRE: f64 = 0.25;
/// Severity of the letters that are burned in.
const LETTERS: u8 = 3;
/// Folds of the cross-validation, by patients.
const FOLDS: usize = 5;

/// Everything that was probed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probes {
    /// Classes from figures that should tell nothing.
    pub classifiers: Vec<ClassifierProbe>,
    /// The network on changed images.
    pub changes: Vec<ChangeProbe>,
}

/// A logistic regression on a few figures, cross-validated with all images of a patient in one fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierProbe {
    /// What it sees.
    pub name: String,
    /// Figures an image.
    pub n_features: usize,
    /// Area under the curve of the held-out scores; the interval resamples patients with the fits as they are.
    pub auc: Option<Measured>,
    /// Why there is none.
    pub not_measured: Option<String>,
}

/// The network on changed images, against itself on the images as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeProbe {
    /// What was changed.
    pub name: String,
    /// Area under the curve on the changed images.
    pub auc: Measured,
    /// Its change; each resample draws the same patients on both sides.
    pub auc_change: Measured,
    /// Mean change of the calibrated log-odds of negatives.
    pub shift_negative: Measured,
    /// And of positives.
    pub shift_positive: Measured,
    /// Share of the negatives whose verdict flips.
    pub flips_negative: Measured,
    /// Share of the positives whose verdict flips.
    pub flips_positive: Measured,
}

/// Runs every probe.
///
/// # Errors
/// When scoring fails.
pub fn measure_probes(subject: &mut Subject) -> Result<Probes> {
    let mut classifiers = headers::probes(subject)?;
    for (name, region) in
        [("border statistics", Region::Border(BORDER)), ("corner statistics", Region::Corners(CORNER))]
    {
        let rows: Vec<Vec<f64>> = (0..subject.n()).map(|image| patches(subject, image, region)).collect();
        classifiers.push(classify(name, &rows, &subject.ruler));
    }
    for probe in &classifiers {
        let found = probe.auc.map_or_else(|| probe.not_measured.clone().unwrap_or_default(), |m| shown(&m));
        say(format!("  class from {:<26} {found}", probe.name));
    }
    Ok(Probes { classifiers, changes: changes(subject)? })
}

/// Cross-validated classification from rows of figures.
pub(super) fn classify(name: &str, rows: &[Vec<f64>], ruler: &Ruler) -> ClassifierProbe {
    let measured = held_out(rows, ruler).and_then(|scores| {
        ruler.measure(name, scores.len(), |images| {
            let (s, y) = pick(images, &scores, &ruler.positive);
            auc(&s, &y)
        })
    });
    let (auc, not_measured) = match measured {
        Ok(auc) => (Some(auc), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let n_features = rows.first().map_or(0, Vec::len);
    ClassifierProbe { name: name.to_owned(), n_features, auc, not_measured }
}

/// Log-odds of every image by a model fitted without its patient; the patients of either class are spread evenly.
fn held_out(rows: &[Vec<f64>], ruler: &Ruler) -> Result<Vec<f64>> {
    let class: BTreeMap<usize, bool> =
        ruler.patients.iter().copied().zip(ruler.positive.iter().copied()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(ruler.seed);
    let mut fold_of = BTreeMap::new();
    for label in [false, true] {
        let mut patients: Vec<usize> = class.iter().filter(|(_, y)| **y == label).map(|(p, _)| *p).collect();
        ensure!(patients.len() > 1, "a class has fewer than two patients, so none can be held out");
        patients.shuffle(&mut rng);
        fold_of.extend(patients.into_iter().enumerate().map(|(i, patient)| (patient, i % FOLDS)));
    }
    let matrix = |images: &[usize]| {
        let values: Vec<f64> = images.iter().flat_map(|image| rows[*image].iter().copied()).collect();
        Tensor::from_slice(&values).view([images.len() as i64, -1]).to_kind(Kind::Double)
    };
    let mut scores = vec![0.0; rows.len()];
    for fold in 0..FOLDS {
        let (out, rest): (Vec<usize>, Vec<usize>) =
            (0..rows.len()).partition(|image| fold_of[&ruler.patients[*image]] == fold);
        if out.is_empty() {
            continue;
        }
        let labels: Vec<bool> = rest.iter().map(|image| ruler.positive[*image]).collect();
        let model = logistic::fit(&matrix(&rest), &labels, 1.0)?;
        for (image, score) in out.iter().zip(model.logits(&matrix(&out))?) {
            scores[*image] = score;
        }
    }
    Ok(scores)
}

/// Mean, standard deviation, share of black and share of white in the region's part of each quarter of the image.
fn patches(subject: &Subject, image: usize, region: Region) -> Vec<f64> {
    let size = subject.size();
    let mut quarters: [Vec<f64>; 4] = Default::default();
    for (position, level) in (0u32..).zip(subject.resized.image(image)) {
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

fn changes(subject: &mut Subject) -> Result<Vec<ChangeProbe>> {
    let clean = subject.clean()?;
    let grey = mean_level(subject);
    let mut found = Vec::new();
    for (name, step, region) in [
        ("corners masked", "probe-corners-masked", Region::Corners(CORNER)),
        ("border masked", "probe-border-masked", Region::Border(BORDER)),
        (BORDER_ONLY, "probe-border-only", Region::Centre(BORDER)),
        ("centre masked", "probe-centre-masked", Region::Centre(CENTRE)),
    ] {
        let logits = subject.step(step, |subject, image| {
            let mut pixels = subject.resized.image(image).to_vec();
            fill(&mut pixels, subject.size(), region, grey);
            pixels
        })?;
        found.push(change(subject, name, &clean, &logits)?);
    }
    // A seam alone can change a score: what the other class adds is the difference to an exchange within the class.
    for (name, step, region, is_other) in [
        ("border of the other class", "probe-border-other", Region::Border(BORDER), true),
        ("border of the same class", "probe-border-same", Region::Border(BORDER), false),
        ("corners of the other class", "probe-corners-other", Region::Corners(CORNER), true),
        ("corners of the same class", "probe-corners-same", Region::Corners(CORNER), false),
    ] {
        let partners = partners(&subject.ruler, is_other);
        let logits = subject.step(step, |subject, image| {
            let (own, other) = (subject.resized.image(image), subject.resized.image(partners[image]));
            swap_region(own, other, subject.size(), region)
        })?;
        found.push(change(subject, name, &clean, &logits)?);
    }
    let logits = super::corruptions::corrupted(subject, Corruption::BurnedInText, LETTERS)?;
    found.push(change(subject, "letters burned in", &clean, &logits)?);
    Ok(found)
}

fn change(subject: &Subject, name: &str, clean: &[f64], logits: &[f64]) -> Result<ChangeProbe> {
    let ruler = &subject.ruler;
    let (before, after) = (subject.probabilities(clean), subject.probabilities(logits));
    let scale = subject.calibration.scale;
    let shift: Vec<f64> = clean.iter().zip(logits).map(|(old, new)| scale * (new - old)).collect();
    let is_flagged = |p: &f64| *p >= ruler.threshold;
    let flips: Vec<f64> = before
        .iter()
        .zip(&after)
        .map(|(old, new)| f64::from(u8::from(is_flagged(old) != is_flagged(new))))
        .collect();
    let mean = |values: &[f64], label: bool| {
        let n = ruler.positive.iter().filter(|y| **y == label).count();
        ruler.measure(name, n, |images| {
            let of: Vec<f64> =
                images.iter().filter(|i| ruler.positive[**i] == label).map(|i| values[*i]).collect();
            (!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64)
        })
    };
    let probe = ChangeProbe {
        name: name.to_owned(),
        auc: ruler.measure(name, ruler.positive.len(), |images| {
            let (p, y) = pick(images, logits, &ruler.positive);
            auc(&p, &y)
        })?,
        auc_change: ruler.change(name, clean, logits, auc)?,
        shift_negative: mean(&shift, false)?,
        shift_positive: mean(&shift, true)?,
        flips_negative: mean(&flips, false)?,
        flips_positive: mean(&flips, true)?,
    };
    say(format!(
        "  {name:<28} AUC {}  log-odds {:+.2} negatives, {:+.2} positives  flips {:.3}, {:.3}",
        shown(&probe.auc),
        probe.shift_negative.value,
        probe.shift_positive.value,
        probe.flips_negative.value,
        probe.flips_positive.value
    ));
    Ok(probe)
}

fn shown(measured: &Measured) -> String {
    let [low, high] = measured.ci95;
    format!("{:.4} [{low:.4}, {high:.4}]  n {}", measured.value, measured.n)
}

/// The fold's mean level: a mask of it stands out least.
fn mean_level(subject: &Subject) -> u8 {
    let levels = (0..subject.n()).flat_map(|image| subject.resized.image(image));
    let (n, sum) = levels.fold((0u64, 0u64), |(n, sum), level| (n + 1, sum + u64::from(*level)));
    (sum / n.max(1)) as u8
}

/// For every image another one, of the other class or of its own but from another patient, drawn by the seed.
fn partners(ruler: &Ruler, is_other_class: bool) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(ruler.seed);
    let n = ruler.positive.len();
    let draw = |image: usize| {
        let fits = |other: &usize| {
            (ruler.positive[*other] != ruler.positive[image]) == is_other_class
                && ruler.patients[*other] != ruler.patients[image]
        };
        let candidates: Vec<usize> = (0..n).filter(fits).collect();
        // A class of one patient has no partner in it: its images stay as they are.
        if candidates.is_empty() { image } else { candidates[rng.random_range(0..candidates.len())] }
    };
    (0..n).map(draw).collect()
}
