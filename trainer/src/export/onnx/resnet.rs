//! ResNet-50 as a graph.

use super::{GraphBuilder, Value, max_pool, relu};
use crate::model::layers::ConvShape;
use crate::model::resnet::{self, BlockShape};
use anyhow::Result;

/// From normalised images to the feature map.
pub(super) fn features(graph: &mut GraphBuilder, x: &str) -> Result<Value> {
    let stem = ConvShape::dense(3, resnet::STEM, 7).stride(2);
    let x = graph.conv(x, "conv1", stem, Some("bn1"))?;
    let x = relu(graph, &x);
    let mut x = max_pool(graph, &x);
    for (number, layer) in (1..).zip(&resnet::layers()) {
        for (i, shape) in layer.iter().enumerate() {
            x = bottleneck(graph, &x, &format!("layer{number}.{i}"), shape)?;
        }
    }
    Ok(x)
}

fn bottleneck(graph: &mut GraphBuilder, x: &str, path: &str, shape: &BlockShape) -> Result<Value> {
    let BlockShape { inputs, width, outputs, stride } = *shape;
    let y = unit(graph, x, path, 1, ConvShape::dense(inputs, width, 1))?;
    let y = relu(graph, &y);
    let y = unit(graph, &y, path, 2, ConvShape::dense(width, width, 3).stride(stride))?;
    let y = relu(graph, &y);
    let y = unit(graph, &y, path, 3, ConvShape::dense(width, outputs, 1))?;
    let shortcut = if shape.projects() {
        let projection = ConvShape::dense(inputs, outputs, 1).stride(stride);
        let (conv, norm) = (format!("{path}.downsample.0"), format!("{path}.downsample.1"));
        graph.conv(x, &conv, projection, Some(&norm))?
    } else {
        x.to_owned()
    };
    let sum = graph.node("Add", &[&y, &shortcut], vec![]);
    Ok(relu(graph, &sum))
}

/// Convolution and normalisation.
fn unit(graph: &mut GraphBuilder, x: &str, path: &str, number: usize, shape: ConvShape) -> Result<Value> {
    graph.conv(x, &format!("{path}.conv{number}"), shape, Some(&format!("{path}.bn{number}")))
}
