//! Rewrites a float graph, exactly up to rounding, so that every layer has an integer kernel.

use super::graph::{Graph, attribute, integer, integers, is_padded, node, parameters};
use crate::onnx::graph::{conv_window, int, norm_as_affine};
use crate::onnx::proto::{NodeProto, code};
use anyhow::{Context, Result, ensure};

/// The input of the first convolution: a plane of grey levels and a plane of [`WHITE`].
pub(super) const PLANES: &str = "image.planes";
pub(super) const PLANES_FLOAT: &str = "image.planes.float";
const WHITE: u8 = 255;

pub(super) fn prepare(graph: &mut Graph) -> Result<()> {
    fold_normalisation(graph).context("the normalisation of the image")?;
    pool_before_projection(graph)?;
    normalisations_as_convolutions(graph)?;
    graph.sweep();
    Ok(())
}

/// Folds the normalisation into the first convolution, which then takes the grey levels: they are 8-bit
/// already, so nothing is lost by quantising them. Each channel is `scale * grey + shift`, so the sum over
/// channels is one weight for the grey level and one for a constant. The constant must be 0 in the padding,
/// which follows the normalisation: a second plane achieves that, a bias would not.
fn fold_normalisation(graph: &mut Graph) -> Result<()> {
    let next = |graph: &Graph, value: &str, operation: &str| {
        let found = graph.only_consumer(value, operation);
        found.with_context(|| format!("value {value}: expected one {operation} as the only consumer"))
    };
    let cast = next(graph, "image", "Cast")?;
    let scaled = next(graph, &graph.nodes[cast].output[0], "Mul")?;
    let shifted = next(graph, &graph.nodes[scaled].output[0], "Add")?;
    let conv = next(graph, &graph.nodes[shifted].output[0], "Conv")?;
    let scale = graph.floats(&graph.nodes[scaled].input[1])?;
    let shift = graph.floats(&graph.nodes[shifted].input[1])?;
    let (weight_name, _) = parameters(&graph.nodes[conv])?;
    let weight_name = weight_name.to_owned();
    let (weight, mut dims) = (graph.floats(&weight_name)?, graph.dims(&weight_name)?);
    let channels = scale.len();
    ensure!(
        dims.len() == 4 && dims[1] == channels as i64 && shift.len() == channels,
        "the first convolution does not take {channels} channels"
    );
    let n_taps = (dims[2] * dims[3]) as usize;
    let mut merged = Vec::with_capacity(weight.len());
    for filter in weight.chunks_exact(channels * n_taps) {
        let sum = |factors: &[f32], tap: usize| -> f64 {
            (0..channels).map(|c| f64::from(filter[c * n_taps + tap]) * f64::from(factors[c])).sum()
        };
        merged.extend((0..n_taps).map(|tap| sum(&scale, tap) as f32));
        merged.extend((0..n_taps).map(|tap| (sum(&shift, tap) / f64::from(WHITE)) as f32));
    }
    dims[1] = 2;
    graph.set_floats(&weight_name, &dims, &merged);
    let one_more_plane: Vec<u8> =
        [0i64, 0, 0, 0, 0, 1, 0, 0].iter().flat_map(|length| length.to_le_bytes()).collect();
    graph.set("image.pads", &[8], code::INT64, one_more_plane);
    graph.set("image.white", &[], code::UINT8, vec![WHITE]);
    PLANES_FLOAT.clone_into(&mut graph.nodes[conv].input[0]);
    graph.nodes[cast] = node("Pad", &["image", "image.pads", "image.white"], vec![], PLANES);
    graph.nodes[scaled] = node("Cast", &[PLANES], vec![int("to", i64::from(code::FLOAT))], PLANES_FLOAT);
    graph.nodes.remove(shifted);
    Ok(())
}

/// Swaps average pooling with the 1x1 convolution before it: both are linear, and the convolution then has
/// less work. The pooling becomes a depthwise convolution, which has the faster kernel.
fn pool_before_projection(graph: &mut Graph) -> Result<()> {
    for conv in 0..graph.nodes.len() {
        if graph.nodes[conv].op_type != "Conv" || !is_pointwise(&graph.nodes[conv]) {
            continue;
        }
        let (input, output) = (graph.nodes[conv].input[0].clone(), graph.nodes[conv].output[0].clone());
        let Some(pool) = graph.only_consumer(&output, "AveragePool") else { continue };
        if is_padded(&graph.nodes[pool]) {
            continue;
        }
        ensure!(pool == conv + 1, "node {}: expected directly after its convolution", graph.nodes[pool].name);
        let (kernel, strides) = (
            integers(&graph.nodes[pool], "kernel_shape").to_vec(),
            integers(&graph.nodes[pool], "strides").to_vec(),
        );
        let (pooled, mean) = (graph.nodes[pool].output[0].clone(), format!("{output}.mean"));
        let (weight_name, channels) =
            (format!("{mean}.weight"), graph.dims(parameters(&graph.nodes[conv])?.0)?[1]);
        let n_taps = kernel.iter().product::<i64>();
        let weights = vec![1.0 / n_taps as f32; (channels * n_taps) as usize];
        graph.set_floats(&weight_name, &[&[channels, 1], &kernel[..]].concat(), &weights);
        let window = conv_window(&kernel, 0, &strides, channels);
        graph.nodes[pool] = node("Conv", &[&input, &weight_name], window, &mean);
        graph.nodes[conv].input[0] = mean;
        graph.nodes[conv].output[0] = pooled;
        graph.nodes.swap(conv, pool);
    }
    Ok(())
}

fn is_pointwise(conv: &NodeProto) -> bool {
    let plain = |name: &str| integers(conv, name).iter().all(|side| *side == 1);
    integer(conv, "group", 1) == 1 && plain("kernel_shape") && plain("strides") && !is_padded(conv)
}

/// Turns the remaining batch normalisations into depthwise 1x1 convolutions, which have an integer kernel.
/// With one weight per channel, 8 bits hold the factor exactly.
fn normalisations_as_convolutions(graph: &mut Graph) -> Result<()> {
    for index in 0..graph.nodes.len() {
        if graph.nodes[index].op_type != "BatchNormalization" {
            continue;
        }
        let node_before = graph.nodes[index].clone();
        let [x, weight, bias, mean, variance] = &node_before.input[..] else {
            anyhow::bail!("node {}: expected five inputs", node_before.name);
        };
        let epsilon = f64::from(attribute(&node_before, "epsilon").map_or(1e-5, |attribute| attribute.f));
        let norm = [graph.floats(weight)?, graph.floats(bias)?, graph.floats(mean)?, graph.floats(variance)?];
        let (scale, shift) = norm_as_affine(&norm, epsilon);
        let scale: Vec<f32> = scale.into_iter().map(|scale| scale as f32).collect();
        let (n, output) = (scale.len() as i64, node_before.output[0].clone());
        let (weight_name, bias_name) = (format!("{output}.scale"), format!("{output}.shift"));
        graph.set_floats(&weight_name, &[n, 1, 1, 1], &scale);
        graph.set_floats(&bias_name, &[n], &shift);
        let window = conv_window(&[1; 2], 0, &[1; 2], n);
        graph.nodes[index] = node("Conv", &[x, &weight_name, &bias_name], window, &output);
    }
    Ok(())
}
