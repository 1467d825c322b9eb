//! EfficientNet-B0 as a graph.

use super::{GraphBuilder, Value};
use crate::model::efficientnet::{self, BlockShape};
use crate::model::layers::ConvShape;
use anyhow::Result;

/// From normalised images to the feature map.
pub(super) fn features(graph: &mut GraphBuilder, x: &str) -> Result<Value> {
    let groups = efficientnet::groups();
    let mut x = unit(graph, x, "features.0", ConvShape::dense(3, efficientnet::STEM, 3).stride(2))?;
    let mut channels = efficientnet::STEM;
    for (child, group) in (1..).zip(&groups) {
        for (i, shape) in group.iter().enumerate() {
            x = inverted_bottleneck(graph, &x, &format!("features.{child}.{i}.block"), shape)?;
            channels = shape.outputs;
        }
    }
    let last = format!("features.{}", groups.len() + 1);
    unit(graph, &x, &last, ConvShape::dense(channels, efficientnet::FEATURES, 1))
}

fn inverted_bottleneck(graph: &mut GraphBuilder, x: &str, path: &str, shape: &BlockShape) -> Result<Value> {
    let BlockShape { inputs, hidden, outputs, kernel, stride } = *shape;
    let (mut y, mut next) = (x.to_owned(), 0);
    if shape.expands() {
        y = unit(graph, x, &format!("{path}.0"), ConvShape::dense(inputs, hidden, 1))?;
        next = 1;
    }
    y = unit(graph, &y, &format!("{path}.{next}"), ConvShape::depthwise(hidden, kernel, stride))?;
    y = squeeze_excitation(graph, &y, &format!("{path}.{}", next + 1), (hidden, shape.squeezed()))?;
    let project = format!("{path}.{}", next + 2);
    let (conv, norm) = (format!("{project}.0"), format!("{project}.1"));
    let out = graph.conv(&y, &conv, ConvShape::dense(hidden, outputs, 1), Some(&norm))?;
    Ok(if shape.is_residual() { graph.node("Add", &[&out, x], vec![]) } else { out })
}

fn squeeze_excitation(
    graph: &mut GraphBuilder,
    x: &str,
    path: &str,
    (channels, squeezed): (i64, i64),
) -> Result<Value> {
    let means = graph.node("GlobalAveragePool", &[x], vec![]);
    let y = graph.biased_conv(&means, &format!("{path}.fc1"), ConvShape::dense(channels, squeezed, 1))?;
    let y = silu(graph, &y);
    let y = graph.biased_conv(&y, &format!("{path}.fc2"), ConvShape::dense(squeezed, channels, 1))?;
    let scale = graph.node("Sigmoid", &[&y], vec![]);
    Ok(graph.node("Mul", &[x, &scale], vec![]))
}

/// Convolution, normalisation, SiLU.
fn unit(graph: &mut GraphBuilder, x: &str, path: &str, shape: ConvShape) -> Result<Value> {
    let y = graph.conv(x, &format!("{path}.0"), shape, Some(&format!("{path}.1")))?;
    Ok(silu(graph, &y))
}

fn silu(graph: &mut GraphBuilder, x: &str) -> Value {
    let gate = graph.node("Sigmoid", &[x], vec![]);
    graph.node("Mul", &[x, &gate], vec![])
}
