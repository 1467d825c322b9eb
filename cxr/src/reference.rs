//! `reference.json`: distribution of inputs and scores at calibration time, for monitoring.
//!
//! Version 2 has one population: every distribution in the file, except the two that say otherwise, is of the
//! same images. Version 1 has marginal quantiles only. A live value is compared as `f32`, as it is stored
//! here.

use crate::embedding::EmbeddingReference;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version that `cxr-trainer` writes.
pub const VERSION: u32 = 2;

/// Contents of `reference.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// 1 if absent.
    #[serde(default = "first")]
    pub version: u32,
    /// Fold of the images.
    pub fold: String,
    /// Number of images.
    pub n: usize,
    /// Number of patients. Absent in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_patients: Option<usize>,
    /// Share of positives.
    pub base_rate: f64,
    /// Version of the image statistics (`cxr::statistics`); 1 if absent.
    #[serde(default = "first_statistics")]
    pub statistics_version: u16,
    /// Quantiles of every image statistic, by its name. None is constant.
    pub statistics: BTreeMap<String, Quantiles>,
    /// Quantiles of the default variant's calibrated probability.
    pub probability: Quantiles,
    /// Equal-width reliability bins of that probability.
    pub calibration: Vec<CalibrationBin>,
    /// Quantiles of each variant's calibrated probability.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub probability_by_variant: BTreeMap<String, Quantiles>,
    /// Of the default variant; absent if not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionQuantiles>,
    /// The same distributions of the images of each class, `negative` and `positive`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_class: BTreeMap<String, ClassReference>,
    /// Values of single images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joint: Option<JointSample>,
    /// Statistics that only originals show: the other population, if the images above are stored copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub originals: Option<Originals>,
    /// Images of the fold that acceptance rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejections: Option<Rejections>,
    /// Reason by the name of a distribution that is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_measured: BTreeMap<String, String>,
    /// Distribution of the embeddings of the train fold, by which positions are measured.
    pub embedding: EmbeddingReference,
}

const fn first() -> u32 {
    1
}

const fn first_statistics() -> u16 {
    1
}

/// Quantiles of the position of the embedding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionQuantiles {
    pub ood_score: Quantiles,
    /// One for each coordinate, in standard deviations.
    pub coordinates: Vec<Quantiles>,
}

/// Distributions of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassReference {
    /// Number of images.
    pub n: usize,
    pub statistics: BTreeMap<String, Quantiles>,
    pub probability_by_variant: BTreeMap<String, Quantiles>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionQuantiles>,
}

/// Values of single images, from which joint and conditional distributions can be computed. Position `i` of
/// every list is the same image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JointSample {
    /// Number of images, which can be fewer than the fold has.
    pub n: usize,
    /// The images of one patient have one number, from 0 on.
    pub patients: Vec<u32>,
    pub positive: Vec<bool>,
    pub statistics: BTreeMap<String, Vec<f32>>,
    pub probability_by_variant: BTreeMap<String, Vec<f32>>,
    /// Absent if not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ood_score: Option<Vec<f32>>,
    /// By coordinate, then by image; empty if not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coordinates: Vec<Vec<f32>>,
}

/// Image statistics of originals, some of which the images of the fold are copies of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Originals {
    /// Number of images.
    pub n: usize,
    pub statistics: BTreeMap<String, Quantiles>,
}

/// Images that acceptance rejected, by its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejections {
    /// Images that were decoded, rejected ones included.
    pub n: usize,
    /// Rejected images by the reason's code.
    pub by_reason: BTreeMap<String, usize>,
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
