//! Cross-layer equalisation (Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias
//! Correction): gives each channel of a value its own scale, where only depthwise convolutions consume the
//! value. The convolutions that produce it divide by the scale, the filters that consume it multiply, and all
//! channels fill the same 8 bits. Unlike in the general case, nothing is traded off. DenseNet's concatenated
//! values, whose channels differ most, qualify.

use super::graph::{Graph, integer, is_padded, parameters};
use super::observe::Observed;
use super::plan::after_activation;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// A channel's value was `low + length * x`, with `x` in `[0, 1]` its value after equalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub(super) low: f32,
    pub(super) length: f32,
}

/// Values that share channels, with the convolutions that produce and consume them.
#[derive(Debug, Default)]
struct Group {
    values: BTreeSet<String>,
    sources: BTreeSet<usize>,
    consumers: BTreeSet<usize>,
}

/// Returns the spans of the equalised values, whose range is `[0, 1]` from now on.
pub(super) fn equalise(
    graph: &mut Graph,
    observed: &BTreeMap<String, Observed>,
) -> Result<BTreeMap<String, Vec<Span>>> {
    let mut spans = BTreeMap::new();
    for index in 0..graph.nodes.len() {
        let value = graph.nodes[index].input.first().cloned().unwrap_or_default();
        if !is_depthwise(graph, index) || spans.contains_key(&value) {
            continue;
        }
        let Some(group) = Group::around(graph, &value) else { continue };
        let Some(of_sources) = group.spans(graph, observed)? else { continue };
        for (source, spans) in &of_sources {
            edit_filters(graph, *source, |filter, bias, channel| {
                let Span { low, length } = spans[channel];
                for weight in filter {
                    *weight /= length;
                }
                (bias - low) / length
            })?;
        }
        for value in &group.values {
            let found = spans_of(graph, value, &of_sources);
            spans.insert(value.clone(), found.with_context(|| format!("value {value}: no source"))?);
        }
        for consumer in &group.consumers {
            let spans: &Vec<Span> = &spans[&graph.nodes[*consumer].input[0]];
            edit_filters(graph, *consumer, |filter, bias, channel| {
                let Span { low, length } = spans[channel];
                let offset = low * filter.iter().sum::<f32>();
                for weight in filter {
                    *weight *= length;
                }
                bias + offset
            })?;
        }
    }
    Ok(spans)
}

fn is_depthwise(graph: &Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let group = integer(node, "group", 1);
    let one_each = |weight: &String| graph.dims(weight).is_ok_and(|dims| dims[0] == group && dims[1] == 1);
    node.op_type == "Conv" && group > 1 && node.input.get(1).is_some_and(one_each)
}

/// Whether an operation commutes with scaling of channels.
fn keeps_channels(operation: &str) -> bool {
    matches!(operation, "Relu" | "Clip" | "MaxPool" | "Concat")
}

impl Group {
    /// The group of a value; none if another operation produces or consumes one of its values.
    fn around(graph: &Graph, value: &str) -> Option<Self> {
        let mut group = Self::default();
        let mut waiting = vec![value.to_owned()];
        while let Some(value) = waiting.pop() {
            if graph.is_output(&value) {
                return None;
            }
            if !group.values.insert(value.clone()) {
                continue;
            }
            let producer = graph.producer(&value)?;
            match graph.nodes[producer].op_type.as_str() {
                "Conv" => drop(group.sources.insert(producer)),
                operation if keeps_channels(operation) => {
                    let inputs = graph.nodes[producer].input.iter();
                    waiting.extend(inputs.filter(|input| !graph.is_constant(input)).cloned());
                }
                _ => return None,
            }
            for consumer in graph.consumers(&value) {
                if is_depthwise(graph, consumer) {
                    group.consumers.insert(consumer);
                } else if keeps_channels(&graph.nodes[consumer].op_type) {
                    waiting.push(graph.nodes[consumer].output[0].clone());
                } else {
                    return None;
                }
            }
        }
        Some(group)
    }

    /// None if a consumer pads values that can be negative: the padding must stay 0.
    fn spans(
        &self,
        graph: &Graph,
        observed: &BTreeMap<String, Observed>,
    ) -> Result<Option<BTreeMap<usize, Vec<Span>>>> {
        let is_padded = self.consumers.iter().any(|consumer| is_padded(&graph.nodes[*consumer]));
        let mut spans = BTreeMap::new();
        for source in &self.sources {
            let value = after_activation(graph, *source);
            let is_rectified = value != graph.nodes[*source].output[0];
            let found = observed.get(&value).with_context(|| format!("value {value}: not observed"))?;
            let of_channel = |(low, high): (&f32, &f32)| {
                let low = if is_rectified { low.min(0.0) } else { *low };
                // A constant channel.
                let length = if *high - low > 1e-12 { *high - low } else { 1.0 };
                Span { low, length }
            };
            let of_source: Vec<Span> = found.low.iter().zip(&found.high).map(of_channel).collect();
            if is_padded && of_source.iter().any(|span| span.low < 0.0 || !is_rectified) {
                return Ok(None);
            }
            spans.insert(*source, of_source);
        }
        Ok(Some(spans))
    }
}

/// Channel spans of a value, concatenated from its producing convolutions.
fn spans_of(graph: &Graph, value: &str, of_sources: &BTreeMap<usize, Vec<Span>>) -> Option<Vec<Span>> {
    let producer = graph.producer(value)?;
    if let Some(spans) = of_sources.get(&producer) {
        return Some(spans.clone());
    }
    let inputs = graph.nodes[producer].input.iter().filter(|input| !graph.is_constant(input));
    let parts: Option<Vec<Vec<Span>>> = inputs.map(|input| spans_of(graph, input, of_sources)).collect();
    parts.map(|parts| parts.concat())
}

/// Edits weights and bias of a convolution filter by filter; adds a bias if there is none.
fn edit_filters(
    graph: &mut Graph,
    index: usize,
    of_filter: impl Fn(&mut [f32], f32, usize) -> f32,
) -> Result<()> {
    let (weight, bias) = parameters(&graph.nodes[index])?;
    let (weight, bias) = (weight.to_owned(), bias.map(ToOwned::to_owned));
    let (dims, mut weights) = (graph.dims(&weight)?, graph.floats(&weight)?);
    let n = dims[0] as usize;
    let mut biases = bias.as_ref().map_or_else(|| Ok(vec![0.0; n]), |bias| graph.floats(bias))?;
    for (channel, filter) in weights.chunks_exact_mut(dims[1..].iter().product::<i64>() as usize).enumerate()
    {
        biases[channel] = of_filter(filter, biases[channel], channel);
    }
    graph.set_floats(&weight, &dims, &weights);
    let name = bias.unwrap_or_else(|| {
        let name = format!("{weight}.bias");
        graph.nodes[index].input.push(name.clone());
        name
    });
    graph.set_floats(&name, &dims[..1], &biases);
    Ok(())
}
