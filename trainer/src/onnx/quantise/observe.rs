//! Measures the values of a float graph on images: range and mean per channel, and a histogram.

use super::graph::Graph;
use super::histogram::Histogram;
use crate::onnx::proto::{TensorTypeProto, TypeProto, ValueInfoProto, code};
use crate::progress::Meter;
use anyhow::{Context, Result, ensure};
use runtime::Runtime;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    /// `low`, `high` and `sum` are per channel.
    pub(super) low: Vec<f32>,
    pub(super) high: Vec<f32>,
    sum: Vec<f64>,
    /// Number of values in each sum.
    n: u64,
    pub(super) histogram: Histogram,
}

impl Observed {
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

/// Fails if a value is not finite.
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
        // NaN does not change a minimum or maximum, but it does the sum.
        let is_finite = low.is_finite() && high.is_finite() && found.sum.iter().all(|sum| sum.is_finite());
        ensure!(is_finite, "value {name}: from {low} to {high}, and not always finite");
    }
    Ok(observed)
}
