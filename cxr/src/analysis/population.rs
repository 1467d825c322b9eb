//! The reference of a population: its marginal, class-wise and joint distributions.

use super::scoring::reliability::bins_equal_width;
use crate::embedding::{EmbeddingPosition, EmbeddingReference};
use crate::reference::{
    ClassReference, JointSample, Originals, PositionQuantiles, Quantiles, Reference, VERSION,
};
use crate::statistics::{self, ImageStatistics};
use std::collections::{BTreeMap, BTreeSet};

/// Images in the joint sample, at most. It stays below half a megabyte.
const MOST_IMAGES: usize = 1000;
/// Steps that a standard deviation is divided into. A coordinate needs no more, and the file stays small.
const COORDINATE_STEPS: f64 = 1e4;

/// Measurements of one set of images, in one order.
#[derive(Debug, Clone)]
pub struct Population<'a> {
    /// Name of the set.
    pub fold: &'a str,
    pub positive: &'a [bool],
    /// Number of the patient of each image.
    pub patients: &'a [usize],
    /// Calibrated probabilities by variant.
    pub probabilities: BTreeMap<String, Vec<f64>>,
    /// Variant whose probabilities and positions are the bundle's.
    pub default_variant: &'a str,
    /// Positions of the embeddings; empty if not measured.
    pub positions: &'a [EmbeddingPosition],
    /// Image statistics by name, without those that were not measured.
    pub statistics: BTreeMap<&'static str, Vec<f64>>,
    /// Reason by the name of what was not measured.
    pub not_measured: BTreeMap<String, String>,
}

/// The statistics of images by name.
pub fn by_name(images: &[ImageStatistics]) -> BTreeMap<&'static str, Vec<f64>> {
    let values = |at: usize| images.iter().map(|image| image.values()[at]).collect();
    ImageStatistics::NAMES.into_iter().enumerate().map(|(at, name)| (name, values(at))).collect()
}

impl Population<'_> {
    /// `None` without images, or without the default variant's probabilities. Leaves constant statistics out.
    pub fn reference(mut self, embedding: EmbeddingReference, n_bins: usize) -> Option<Reference> {
        let n = self.positive.len();
        for (name, _) in self.statistics.extract_if(.., |_, values| is_constant(values)) {
            self.not_measured.insert(name.to_owned(), "the same in every image".to_owned());
        }
        let default = self.probabilities.get(self.default_variant)?;
        let class = |positive: bool| {
            let images: Vec<usize> = (0..n).filter(|i| self.positive[*i] == positive).collect();
            let name = if positive { "positive" } else { "negative" };
            (!images.is_empty()).then(|| (name.to_owned(), self.class(&images)))
        };
        let all = self.class(&(0..n).collect::<Vec<_>>());
        Some(Reference {
            version: VERSION,
            fold: self.fold.to_owned(),
            n,
            n_patients: Some(self.patients.iter().collect::<BTreeSet<_>>().len()),
            base_rate: self.positive.iter().filter(|label| **label).count() as f64 / n as f64,
            statistics_version: statistics::VERSION,
            probability: single(Quantiles::of(default)?),
            calibration: bins_equal_width(default, self.positive, n_bins),
            by_class: [false, true].into_iter().filter_map(class).collect(),
            joint: Some(self.joint()),
            statistics: all.statistics,
            probability_by_variant: all.probability_by_variant,
            position: all.position,
            originals: None,
            rejections: None,
            not_measured: self.not_measured,
            embedding,
        })
    }

    fn class(&self, images: &[usize]) -> ClassReference {
        let quantiles = |value: &dyn Fn(usize) -> f64| {
            Quantiles::of(&images.iter().map(|i| value(*i)).collect::<Vec<_>>())
        };
        let of = |values: &Vec<f64>| quantiles(&|i| values[i]).map(single);
        let coordinate = |k: usize| quantiles(&|i| coordinate(&self.positions[i], k));
        let n_coordinates = self.positions.first().map_or(0, |position| position.coordinates.len());
        let ood_score = (!self.positions.is_empty()).then(|| quantiles(&|i| self.positions[i].ood_score));
        ClassReference {
            n: images.len(),
            statistics: self.statistics.iter().filter_map(|(k, v)| Some(((*k).to_owned(), of(v)?))).collect(),
            probability_by_variant: self
                .probabilities
                .iter()
                .filter_map(|(k, v)| Some((k.clone(), of(v)?)))
                .collect(),
            position: ood_score.flatten().map(|ood_score| PositionQuantiles {
                ood_score: single(ood_score),
                coordinates: (0..n_coordinates).filter_map(coordinate).map(stepped).collect(),
            }),
        }
    }

    fn joint(&self) -> JointSample {
        let n_all = self.positive.len();
        let n = n_all.min(MOST_IMAGES);
        let images = sampled(n_all, n);
        let of = |values: &Vec<f64>| images.iter().map(|i| finite(values[*i])).collect();
        let n_coordinates = self.positions.first().map_or(0, |position| position.coordinates.len());
        let coordinate =
            |k: usize| images.iter().map(|i| coordinate(&self.positions[*i], k) as f32).collect();
        let scores = || images.iter().map(|i| finite(self.positions[*i].ood_score)).collect();
        JointSample {
            n,
            patients: images.iter().map(|i| self.patients[*i] as u32).collect(),
            positive: images.iter().map(|i| self.positive[*i]).collect(),
            statistics: self.statistics.iter().map(|(k, v)| ((*k).to_owned(), of(v))).collect(),
            probability_by_variant: self.probabilities.iter().map(|(k, v)| (k.clone(), of(v))).collect(),
            ood_score: (!self.positions.is_empty()).then(scores),
            coordinates: (0..n_coordinates).map(coordinate).collect(),
        }
    }
}

impl Originals {
    /// Distributions of what only the file shows. None without images.
    pub fn of(images: &[ImageStatistics]) -> Option<Self> {
        let mut statistics = by_name(images);
        statistics.retain(|name, values| ImageStatistics::OF_THE_FILE.contains(name) && !is_constant(values));
        let quantiles = statistics
            .into_iter()
            .filter_map(|(name, values)| Some((name.to_owned(), single(Quantiles::of(&values)?))));
        (!images.is_empty()).then(|| Self { n: images.len(), statistics: quantiles.collect() })
    }
}

impl Reference {
    /// Adds a variant's probabilities of all images, in the order of the fold. `positive` are their labels. A
    /// reference of version 1 has no place for them and stays as it is.
    pub fn add_variant(&mut self, name: &str, probabilities: &[f64], positive: &[bool]) {
        let Some(joint) = &mut self.joint else { return };
        let of = |class: Option<bool>| {
            let images = probabilities.iter().zip(positive);
            let chosen = images.filter(|(_, label)| class.is_none_or(|class| **label == class));
            Quantiles::of(&chosen.map(|(value, _)| *value).collect::<Vec<_>>()).map(single)
        };
        let sampled = sampled(probabilities.len(), joint.n);
        let values = sampled.iter().map(|i| finite(probabilities[*i])).collect();
        joint.probability_by_variant.insert(name.to_owned(), values);
        self.probability_by_variant.extend(of(None).map(|all| (name.to_owned(), all)));
        for (class, positive) in [("negative", false), ("positive", true)] {
            if let Some((reference, quantiles)) = self.by_class.get_mut(class).zip(of(Some(positive))) {
                reference.probability_by_variant.insert(name.to_owned(), quantiles);
            }
        }
    }
}

/// Positions spread evenly over all images, so that the classes keep their shares.
fn sampled(n_all: usize, n: usize) -> Vec<usize> {
    (0..n).map(|i| i * n_all / n).collect()
}

fn is_constant(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0].total_cmp(&pair[1]).is_eq())
}

fn coordinate(position: &EmbeddingPosition, k: usize) -> f64 {
    (f64::from(position.coordinates[k]) * COORDINATE_STEPS).round() / COORDINATE_STEPS
}

/// JSON has no infinity, which `f64::MAX` would become.
fn finite(value: f64) -> f32 {
    (value as f32).clamp(f32::MIN, f32::MAX)
}

/// In single precision, whose text is half as long.
fn single(quantiles: Quantiles) -> Quantiles {
    let shortest = |value: f64| finite(value).to_string().parse().unwrap_or(value);
    Quantiles(quantiles.0.into_iter().map(shortest).collect())
}

fn stepped(quantiles: Quantiles) -> Quantiles {
    let step = |value: f64| (value * COORDINATE_STEPS).round() / COORDINATE_STEPS;
    Quantiles(quantiles.0.into_iter().map(step).collect())
}
