//! DenseNet-121 as a graph.

use super::{GraphBuilder, Value, int, ints, max_pool, relu};
use crate::model::densenet;
use crate::model::layers::ConvShape;
use anyhow::Result;

/// From normalised images to the feature map.
pub(super) fn features(graph: &mut GraphBuilder, x: &str) -> Result<Value> {
    let stem = ConvShape::dense(3, densenet::STEM, 7).stride(2);
    let x = graph.conv(x, "features.conv0", stem, Some("features.norm0"))?;
    let x = relu(graph, &x);
    let mut x = max_pool(graph, &x);
    let mut channels = densenet::STEM;
    for (number, n_layers) in (1..).zip(densenet::BLOCKS) {
        for layer in 1..=n_layers {
            let path = format!("features.denseblock{number}.denselayer{layer}");
            x = dense_layer(graph, &x, &path, channels)?;
            channels += densenet::GROWTH;
        }
        if number < densenet::BLOCKS.len() {
            x = transition(graph, &x, &format!("features.transition{number}"), channels)?;
            channels /= 2;
        }
    }
    let x = graph.norm(&x, "features.norm5")?;
    Ok(relu(graph, &x))
}

fn dense_layer(graph: &mut GraphBuilder, x: &str, path: &str, channels: i64) -> Result<Value> {
    let y = graph.norm(x, &format!("{path}.norm1"))?;
    let y = relu(graph, &y);
    let bottleneck = ConvShape::dense(channels, densenet::BOTTLENECK, 1);
    let y = graph.conv(&y, &format!("{path}.conv1"), bottleneck, Some(&format!("{path}.norm2")))?;
    let y = relu(graph, &y);
    let growth = ConvShape::dense(densenet::BOTTLENECK, densenet::GROWTH, 3);
    let y = graph.conv(&y, &format!("{path}.conv2"), growth, None)?;
    Ok(graph.node("Concat", &[x, &y], vec![int("axis", 1)]))
}

fn transition(graph: &mut GraphBuilder, x: &str, path: &str, channels: i64) -> Result<Value> {
    let y = graph.norm(x, &format!("{path}.norm"))?;
    let y = relu(graph, &y);
    let y = graph.conv(&y, &format!("{path}.conv"), ConvShape::dense(channels, channels / 2, 1), None)?;
    Ok(graph.node("AveragePool", &[&y], vec![ints("kernel_shape", &[2; 2]), ints("strides", &[2; 2])]))
}
