//! Writes the quantised graph: QuantizeLinear and DequantizeLinear around every 8-bit value, weights as int8
//! with a scale per filter, biases as int32. ONNX Runtime fuses each operation between such pairs into one
//! integer kernel.

use super::graph::{Graph, node, parameters};
use super::plan::{Plan, after_activation};
use super::prepare::{PLANES, PLANES_FLOAT};
use super::scale::{Affine, quantise_filter};
use crate::onnx::graph::int;
use crate::onnx::proto::{NodeProto, code};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::iter::repeat_n;

/// Largest quantised bias, which leaves the 32-bit accumulator room for the products.
const LARGEST_BIAS: f32 = (1 << 28) as f32;

/// How a value is quantised.
#[derive(Debug, Clone)]
pub(super) struct Quantised {
    pub(super) affine: Affine,
    /// Of each channel.
    pub(super) mean: Vec<f64>,
}

pub(super) fn rewrite(
    graph: &mut Graph,
    plan: &Plan,
    quantised: &BTreeMap<String, Quantised>,
    weight_bits: u32,
) -> Result<()> {
    for (value, Quantised { affine, .. }) in quantised {
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
            continue; // the 8-bit range of its input clips as it does
        }
        if copy.op_type == "Conv" && !is_float {
            nodes.extend(convolution(graph, &mut copy, quantised, weight_bits)?);
        }
        for input in &mut copy.input {
            if quantised.contains_key(input) {
                *input = dequantised(input);
            }
        }
        let value = if is_float { output } else { after_activation(graph, index) };
        copy.output[0].clone_from(&value);
        nodes.push(copy);
        if quantised.contains_key(&value) {
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

/// The two nodes that round a value to 8 bits.
fn pair(value: &str) -> [NodeProto; 2] {
    let (scale, zero, quantised) = (scale_name(value), zero_name(value), format!("{value}.quantised"));
    [
        node("QuantizeLinear", &[value, &scale, &zero], vec![], &quantised),
        node("DequantizeLinear", &[&quantised, &scale, &zero], vec![], &dequantised(value)),
    ]
}

/// The nodes that dequantise weight and bias; the convolution takes their outputs.
fn convolution(
    graph: &mut Graph,
    conv: &mut NodeProto,
    quantised: &BTreeMap<String, Quantised>,
    weight_bits: u32,
) -> Result<[NodeProto; 2]> {
    let (weight, bias) = parameters(conv)?;
    let (weight, bias) = (weight.to_owned(), bias.map(ToOwned::to_owned));
    let input = quantised.get(&conv.input[0]).with_context(|| format!("{}: not quantised", conv.input[0]))?;
    let (dims, weights) = (graph.dims(&weight)?, graph.floats(&weight)?);
    let n = dims[0] as usize;
    let biases = bias.as_ref().map_or_else(|| Ok(vec![0.0; n]), |bias| graph.floats(bias))?;
    let (mut values, mut scales, mut steps, mut bias_scales) = (vec![], vec![], vec![], vec![]);
    let (inputs, taps) = (dims[1] as usize, dims[2..].iter().product::<i64>() as usize);
    let is_depthwise = inputs != input.mean.len();
    for (channel, filter) in weights.chunks_exact(inputs * taps).enumerate() {
        let (mut scale, mut quantised) = quantise_filter(filter, weight_bits);
        // Without a floor, the bias of a filter with tiny weights would not fit in 32 bits.
        let least = biases[channel].abs() / (input.affine.scale * LARGEST_BIAS);
        if scale < least {
            scale = least;
            quantised = filter.iter().map(|weight| (weight / scale).round_ties_even() as i8).collect();
        }
        let first = if is_depthwise { channel } else { 0 };
        let means = input.mean[first..first + inputs].iter().flat_map(|mean| repeat_n(*mean, taps));
        let bias = f64::from(biases[channel]) + rounding_loss(filter, &quantised, scale, means);
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
        node("DequantizeLinear", &inputs, vec![int("axis", 0)], float)
    };
    Ok([dequantise(&weight_values, &weight_float), dequantise(&bias_values, &bias_float)])
}

/// Change of a filter's mean output by rounding its weights, for bias correction (Nagel et al. 2019).
fn rounding_loss(filter: &[f32], quantised: &[i8], scale: f32, means: impl Iterator<Item = f64>) -> f64 {
    let differences =
        filter.iter().zip(quantised).map(|(weight, value)| f64::from(weight - f32::from(*value) * scale));
    differences.zip(means).map(|(difference, mean)| difference * mean).sum()
}
