//! MobileNetV2 as a graph.

use super::{GraphBuilder, Value};
use crate::model::layers::ConvShape;
use crate::model::mobilenet::{self, BlockShape, FirstBlock};
use anyhow::Result;

/// From normalised images to the feature map.
pub(super) fn features(graph: &mut GraphBuilder, x: &str, first: FirstBlock) -> Result<Value> {
    graph.constant("relu6.low", &[], &[0.0]);
    graph.constant("relu6.high", &[], &[6.0]);
    let blocks = mobilenet::blocks(first);
    let mut x = unit(graph, x, "features.0", ConvShape::dense(3, mobilenet::STEM, 3).stride(2))?;
    for (number, block) in (1..).zip(&blocks) {
        x = inverted_residual(graph, &x, &format!("features.{number}.conv"), block)?;
    }
    let inputs = blocks.last().map_or(mobilenet::STEM, |block| block.outputs);
    let last = format!("features.{}", blocks.len() + 1);
    unit(graph, &x, &last, ConvShape::dense(inputs, mobilenet::FEATURES, 1))
}

fn inverted_residual(graph: &mut GraphBuilder, x: &str, path: &str, block: &BlockShape) -> Result<Value> {
    let mut hidden = x.to_owned();
    let mut next = 0;
    if block.expands {
        hidden = unit(graph, x, &format!("{path}.0"), ConvShape::dense(block.inputs, block.hidden, 1))?;
        next = 1;
    }
    let depthwise = ConvShape::depthwise(block.hidden, 3, block.stride);
    hidden = unit(graph, &hidden, &format!("{path}.{next}"), depthwise)?;
    let (conv, norm) = (format!("{path}.{}", next + 1), format!("{path}.{}", next + 2));
    let out = graph.conv(&hidden, &conv, ConvShape::dense(block.hidden, block.outputs, 1), Some(&norm))?;
    Ok(if block.is_residual() { graph.node("Add", &[&out, x], vec![]) } else { out })
}

/// Convolution, normalisation, ReLU6.
fn unit(graph: &mut GraphBuilder, x: &str, path: &str, shape: ConvShape) -> Result<Value> {
    let y = graph.conv(x, &format!("{path}.0"), shape, Some(&format!("{path}.1")))?;
    Ok(graph.node("Clip", &[&y, "relu6.low", "relu6.high"], vec![]))
}
