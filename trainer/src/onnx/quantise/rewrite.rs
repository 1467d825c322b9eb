//! The quantised graph: a pair of QuantizeLinear and DequantizeLinear around every value that is held in eight bits, weights as
//! int8 with a scale a filter, biases as int32. ONNX Runtime makes one integer kernel of each operation between such pairs.

use super::graph::{Graph, axis, node, parameters};
use super::plan::{Plan, after_activation};
use super::prepare::{PLANES, PLANES_FLOAT};
use super::scale::{Affine, quantise_filter};
use crate::onnx::proto::{NodeProto, code};
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// A bias is at most this many of its steps, which leaves the accumulator room for the products.
const LARGEST_BIAS: f32 = (1 << 28) as f32;

/// How one value is held.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Scale and zero point.
    pub(super) affine: Affine,
    /// Mean of each channel.
    pub(super) mean: Vec<f64>,
}

/// Writes the quantised graph over the prepared one.
///
/// # Errors
/// When a value's figures are missing or a constant is not what its convolution needs.
pub(super) fn rewrite(
    graph: &mut Graph,
    plan: &Plan,
    held: &BTreeMap<String, Held>,
    weight_bits: u32,
) -> Result<()> {
    for (value, Held { affine, .. }) in held {
        graph.set(&scale_name(value), &[], code::FLOAT, affine.scale.to_le_bytes().to_vec());
        graph.set(&zero_name(value), &[], code::UINT8, vec![affine.zero]);
    }
    let mut nodes = Vec::with_capacity(graph.nodes.len() * 4);
    for index in 0..graph.nodes.len() {
        let mut copy = graph.nodes[index].clone();
        let output = copy.output[0].clone();
        if output == PLANES_FLOAT {
            let inputs = [PLANES, &scale_name(PLANES_FLOAT), &zero_name(PLANES_FLOAT)];
            nodes.push(node("DequantizeLinear", &inputs, vec![], &dequantised(PLANES_FLOAT)));
            continue;
        }
        let is_float = plan.is_float(&output);
        if !is_float && matches!(copy.op_type.as_str(), "Relu" | "Clip") {
            continue; // the range of the value before it does the same
        }
        let is_convolution = copy.op_type == "Conv" && !is_float;
        if is_convolution {
            nodes.extend(convolution(graph, &mut copy, held, weight_bits)?);
        }
        for input in &mut copy.input {
            if held.contains_key(input) {
                *input = dequantised(input);
            }
        }
        let value = if is_float { output } else { after_activation(graph, index) };
        copy.output[0].clone_from(&value);
        nodes.push(copy);
        if held.contains_key(&value) {
            nodes.extend(pair(&value));
        }
    }
    graph.nodes = nodes;
    graph.sweep();
    Ok(())
}

fn scale_name(value: &str) -> String {
    format!("{value}.scale")
}

fn zero_name(value: &str) -> String {
    format!("{value}.zero")
}

fn dequantised(value: &str) -> String {
    format!("{value}.dequantised")
}

/// The two nodes that round a value to its eight bits.
fn pair(value: &str) -> [NodeProto; 2] {
    let (scale, zero, quantised) = (scale_name(value), zero_name(value), format!("{value}.quantised"));
    [
        node("QuantizeLinear", &[value, &scale, &zero], vec![], &quantised),
        node("DequantizeLinear", &[&quantised, &scale, &zero], vec![], &dequantised(value)),
    ]
}

/// The nodes that give a convolution its weights and bias; it is pointed to them.
fn convolution(
    graph: &mut Graph,
    conv: &mut NodeProto,
    held: &BTreeMap<String, Held>,
    weight_bits: u32,
) -> Result<[NodeProto; 2]> {
    let (weight, bias) = parameters(conv)?;
    let (weight, bias) = (weight.to_owned(), bias.map(ToOwned::to_owned));
    let input = held.get(&conv.input[0]).with_context(|| format!("{}: is not held", conv.input[0]))?;
    let (dims, weights) = (graph.dims(&weight)?, graph.floats(&weight)?);
    let n = dims[0] as usize;
    let biases = bias.as_ref().map_or_else(|| Ok(vec![0.0; n]), |bias| graph.floats(bias))?;
    let (mut values, mut scales, mut steps, mut bias_scales) = (vec![], vec![], vec![], vec![]);
    let shape = FilterShape::of(&dims, input.mean.len());
    for (channel, filter) in weights.chunks_exact(shape.inputs * shape.taps).enumerate() {
        let (mut scale, mut quantised) = quantise_filter(filter, weight_bits);
        // Weights far smaller than their bias count for nothing; without a floor the bias would not fit its 32 bits.
        let least = biases[channel].abs() / (input.affine.scale * LARGEST_BIAS);
        if scale < least {
            scale = least;
            quantised = filter.iter().map(|weight| (weight / scale).round_ties_even() as i8).collect();
        }
        let bias = f64::from(biases[channel]) + lost(filter, &quantised, scale, shape.means(input, channel));
        let bias_scale = input.affine.scale * scale;
        steps.extend(((bias / f64::from(bias_scale)).round() as i32).to_le_bytes());
        bias_scales.push(bias_scale);
        scales.push(scale);
        values.extend(quantised.into_iter().map(|value| value as u8));
    }
    let names = |part: &str| [part, "quantised"].map(|end| format!("{weight}.{part}.{end}"));
    let [weight_float, weight_values] = names("weight");
    let [bias_float, bias_values] = names("bias");
    let part = |value: &str, end: &str| format!("{value}.{end}");
    graph.set(&weight_values, &dims, code::INT8, values);
    graph.set_floats(&part(&weight_values, "scale"), &[n as i64], &scales);
    graph.set(&part(&weight_values, "zero"), &[n as i64], code::INT8, vec![0; n]);
    graph.set(&bias_values, &[n as i64], code::INT32, steps);
    graph.set_floats(&part(&bias_values, "scale"), &[n as i64], &bias_scales);
    graph.set(&part(&bias_values, "zero"), &[n as i64], code::INT32, vec![0; 4 * n]);
    conv.input.truncate(1);
    conv.input.extend([weight_float.clone(), bias_float.clone()]);
    let dequantise = |values: &str, float: &str| {
        let inputs = [values, &part(values, "scale"), &part(values, "zero")];
        node("DequantizeLinear", &inputs, vec![axis(0)], float)
    };
    Ok([dequantise(&weight_values, &weight_float), dequantise(&bias_values, &bias_float)])
}

/// How a convolution's weights lie.
struct FilterShape {
    inputs: usize,
    taps: usize,
    is_grouped: bool,
}

impl FilterShape {
    fn of(dims: &[i64], channels: usize) -> Self {
        let (inputs, taps) = (dims[1] as usize, dims[2..].iter().product::<i64>() as usize);
        Self { inputs, taps, is_grouped: inputs != channels }
    }

    /// The means of the channels that a filter takes, one a weight. Groups are all of one channel.
    fn means<'a>(&'a self, input: &'a Held, filter: usize) -> impl Iterator<Item = f64> + 'a {
        let first = if self.is_grouped { filter } else { 0 };
        let channels = input.mean[first..first + self.inputs].iter();
        channels.flat_map(|mean| std::iter::repeat_n(*mean, self.taps))
    }
}

/// What rounding a filter's weights takes from its mean output; the bias gives it back (Nagel et al. 2019).
fn lost(filter: &[f32], quantised: &[i8], scale: f32, means: impl Iterator<Item = f64>) -> f64 {
    let differences =
        filter.iter().zip(quantised).map(|(weight, value)| f64::from(weight - f32::from(*value) * scale));
    differences.zip(means).map(|(difference, mean)| difference * mean).sum()
}
