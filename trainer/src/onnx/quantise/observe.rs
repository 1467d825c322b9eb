//! What flows through a float graph: of every value the range of each channel, their means, and a histogram of the whole.

use super::graph::Graph;
use super::scale::Affine;
use crate::onnx::proto::{TensorTypeProto, TypeProto, ValueInfoProto, code};
use crate::progress::Meter;
use anyhow::{Context, Result, ensure};
use runtime::Runtime;
use std::collections::BTreeMap;

/// Bins on either side of 0.
const HALF: usize = 2048;

/// Counts of values over a range that doubles when a value is beyond it.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    limit: f32,
    counts: Vec<u64>,
    low: f32,
    high: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { limit: 0.0, counts: vec![0; 2 * HALF], low: f32::INFINITY, high: f32::NEG_INFINITY }
    }
}

impl Histogram {
    /// Counts values.
    pub(super) fn add(&mut self, values: &[f32]) {
        let (mut low, mut high) = (self.low, self.high);
        for value in values {
            low = low.min(*value);
            high = high.max(*value);
        }
        (self.low, self.high) = (low, high);
        let largest = low.abs().max(high.abs()).max(f32::MIN_POSITIVE);
        if self.limit <= 0.0 {
            self.limit = largest;
        }
        while self.limit < largest {
            self.double();
        }
        let per_unit = HALF as f32 / self.limit;
        for value in values {
            let bin = (value * per_unit + HALF as f32).clamp(0.0, (2 * HALF - 1) as f32) as usize;
            self.counts[bin] += 1;
        }
    }

    fn double(&mut self) {
        self.limit *= 2.0;
        let mut counts = vec![0; 2 * HALF];
        for (bin, pair) in self.counts.as_chunks::<2>().0.iter().enumerate() {
            counts[HALF / 2 + bin] = pair[0] + pair[1];
        }
        self.counts = counts;
    }

    /// Smallest and largest value.
    pub(super) const fn range(&self) -> (f32, f32) {
        (self.low, self.high)
    }

    /// Sum of the squared differences when the values are quantised, each taken for the middle of its bin.
    pub(super) fn squared_error(&self, affine: Affine) -> f64 {
        let width = self.limit / HALF as f32;
        let of_bin = |(bin, count): (usize, &u64)| {
            let middle = (bin as f32 + 0.5 - HALF as f32) * width;
            // Most values of a rectified tensor are 0, which no range loses.
            let value = if bin == HALF && self.low >= 0.0 { 0.0 } else { middle };
            f64::from(affine.dequantise(affine.quantise(value)) - value).powi(2) * *count as f64
        };
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(of_bin).sum()
    }
}

/// One value's figures.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    /// Smallest value of each channel.
    pub(super) low: Vec<f32>,
    /// Largest value of each channel.
    pub(super) high: Vec<f32>,
    /// Sum of each channel.
    sum: Vec<f64>,
    /// Values behind each sum.
    n: u64,
    /// All values together.
    pub(super) histogram: Histogram,
}

impl Observed {
    /// Mean of each channel.
    pub(super) fn mean(&self) -> Vec<f64> {
        self.sum.iter().map(|sum| sum / self.n.max(1) as f64).collect()
    }

    fn add(&mut self, shape: &[i64], values: &[f32]) {
        let channels = shape.get(1).map_or(1, |n| *n as usize);
        if self.low.is_empty() {
            self.low = vec![f32::INFINITY; channels];
            self.high = vec![f32::NEG_INFINITY; channels];
            self.sum = vec![0.0; channels];
        }
        let n_positions = shape.iter().skip(2).product::<i64>().max(1) as usize;
        for (position, plane) in values.chunks_exact(n_positions).enumerate() {
            let channel = position % channels;
            let (mut low, mut high, mut sum) = (self.low[channel], self.high[channel], 0.0f32);
            for value in plane {
                low = low.min(*value);
                high = high.max(*value);
                sum += *value;
            }
            (self.low[channel], self.high[channel]) = (low, high);
            self.sum[channel] += f64::from(sum);
        }
        self.n += (values.len() / channels) as u64;
        self.histogram.add(values);
    }
}

/// Runs every image through the graph and looks at these values.
///
/// # Errors
/// When ONNX Runtime fails, or a value is not finite.
pub(super) fn observe<'a>(
    runtime: &Runtime,
    graph: &Graph,
    values: &[String],
    images: impl ExactSizeIterator<Item = &'a [u8]>,
    size: (u32, u32),
) -> Result<BTreeMap<String, Observed>> {
    let as_output = |name: &String| ValueInfoProto {
        name: name.clone(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto { elem_type: code::FLOAT, shape: None }),
        }),
    };
    let also: Vec<ValueInfoProto> = values.iter().map(as_output).collect();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut session = runtime.activations(&graph.encode(&also), threads)?;
    let meter = Meter::new("ranges", images.len());
    let mut observed: BTreeMap<String, Observed> = BTreeMap::new();
    for image in images {
        session.run(image, 1, size, |name, shape, values| {
            observed.entry(name.to_owned()).or_default().add(shape, values);
        })?;
        meter.advance(1, String::new);
    }
    for name in values {
        let found = observed.get(name).with_context(|| format!("value {name}: no image was given"))?;
        let (low, high) = found.histogram.range();
        // A NaN is neither smaller nor larger than anything, but no sum forgets it.
        let is_finite = low.is_finite() && high.is_finite() && found.sum.iter().all(|sum| sum.is_finite());
        ensure!(is_finite, "value {name}: from {low} to {high}, and not all of it finite");
    }
    Ok(observed)
}
