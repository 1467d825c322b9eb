//! `reference.json`: distribution of inputs and scores at calibration time, for monitoring.

use crate::embedding::EmbeddingReference;
use crate::statistics::ImageStatistics;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Contents of `reference.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Fold of the images.
    pub fold: String,
    /// Number of images.
    pub n: usize,
    /// Share of positives.
    pub base_rate: f64,
    /// Quantiles of every image statistic, by its name.
    pub statistics: BTreeMap<String, Quantiles>,
    /// Quantiles of the calibrated probability.
    pub probability: Quantiles,
    /// Equal-width reliability bins of the calibrated probability.
    pub calibration: Vec<CalibrationBin>,
    /// Distribution of the embeddings.
    pub embedding: EmbeddingReference,
}

/// Quantiles at 0, 1, ..., 100 percent (101 values, ascending).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantiles(pub Vec<f64>);

impl Quantiles {
    /// `None` for no values. See [`quantile`].
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |percent: u8| quantile(&sorted, f64::from(percent) / 100.0);
        (!sorted.is_empty()).then(|| Self((0..=100).map(at).collect()))
    }
}

/// Quantile `q` of at least one ascending value: linear interpolation between order statistics (type 7 of
/// Hyndman and Fan 1996).
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len() - 1;
    let position = q * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationBin {
    /// Lower edge of the probability.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Images in the bin.
    pub n: usize,
    /// Mean probability; 0 for an empty bin.
    pub mean_probability: f64,
    /// Share of positives; 0 for an empty bin.
    pub positive_rate: f64,
}

impl Reference {
    /// Quantiles of every statistic over a set of images.
    pub fn statistics_of(images: &[ImageStatistics]) -> BTreeMap<String, Quantiles> {
        ImageStatistics::NAMES
            .iter()
            .enumerate()
            .filter_map(|(index, name)| {
                let values: Vec<f64> = images.iter().map(|image| image.values()[index]).collect();
                Some(((*name).to_owned(), Quantiles::of(&values)?))
            })
            .collect()
    }
}
