//! Our networks as ONNX graphs: uint8 grey levels in, logits, class activation map and embedding out. Each
//! function follows the `forward` of its namesake in `model`; `export::parity` checks that.

pub mod graph;
pub mod proto;
pub mod quantise;

use crate::model::layers::ConvShape;
use crate::model::mobilenet::{self, BlockShape, FirstBlock};
use crate::model::weights::NamedTensors;
use crate::model::{Architecture, IMAGENET_DEVIATION, IMAGENET_MEAN, densenet, efficientnet, resnet};
use anyhow::Result;
use cxr::bundle::{ModelContract, TensorSpec};
use graph::{GraphBuilder, Value, int, ints};
use proto::code;

/// Inputs and outputs of the graph; `size`: columns and rows of the input.
pub fn contract(architecture: Architecture, size: (u32, u32)) -> ModelContract {
    let tensor = |name: &str, dtype: &str, sides: &[u32]| TensorSpec {
        name: name.to_owned(),
        dtype: dtype.to_owned(),
        shape: std::iter::once(None).chain(sides.iter().copied().map(Some)).collect(),
    };
    let (width, height) = size;
    ModelContract {
        architecture: architecture.name().to_owned(),
        input: tensor("image", "uint8", &[1, height, width]),
        outputs: vec![
            tensor("logits", "float32", &[1]),
            tensor("cam", "float32", &[1, architecture.map_side(height), architecture.map_side(width)]),
            tensor("embedding", "float32", &[architecture.features() as u32]),
        ],
    }
}

pub fn encode(architecture: Architecture, parameters: &NamedTensors, size: (u32, u32)) -> Result<Vec<u8>> {
    let mut graph = GraphBuilder::new(architecture.name(), parameters);
    let x = normalise(&mut graph);
    let features = match architecture {
        Architecture::MobileNetV2 => mobilenet_v2(&mut graph, &x, FirstBlock::Plain)?,
        Architecture::MobileNetV2Expanded => mobilenet_v2(&mut graph, &x, FirstBlock::Expanded)?,
        Architecture::DenseNet121 => densenet121(&mut graph, &x)?,
        Architecture::ResNet50 => resnet50(&mut graph, &x)?,
        Architecture::EfficientNetB0 => efficientnet_b0(&mut graph, &x)?,
    };
    head(&mut graph, &features, architecture.features())?;
    let contract = contract(architecture, size);
    graph.finish(&contract.input, &contract.outputs)
}

/// `(x / 255 - mean) / deviation` as a product and a sum, whose `[1, 3, 1, 1]` constants make one channel
/// three. It cannot be folded into the first convolution, whose zero padding follows the normalisation.
fn normalise(graph: &mut GraphBuilder) -> Value {
    let grey = graph.node("Cast", &["image"], vec![int("to", i64::from(code::FLOAT))]);
    let scale = IMAGENET_DEVIATION.map(|deviation| 1.0 / (255.0 * deviation));
    let shift = std::array::from_fn::<f32, 3, _>(|c| -IMAGENET_MEAN[c] / IMAGENET_DEVIATION[c]);
    let scale = graph.constant("normalise.scale", &[1, 3, 1, 1], &scale);
    let shift = graph.constant("normalise.shift", &[1, 3, 1, 1], &shift);
    let scaled = graph.node("Mul", &[&grey, &scale], vec![]);
    graph.node("Add", &[&scaled, &shift], vec![])
}

fn mobilenet_v2(graph: &mut GraphBuilder, x: &str, first: FirstBlock) -> Result<Value> {
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
    let depthwise = ConvShape::depthwise(block.hidden, block.stride);
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

fn densenet121(graph: &mut GraphBuilder, x: &str) -> Result<Value> {
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

fn resnet50(graph: &mut GraphBuilder, x: &str) -> Result<Value> {
    let stem = ConvShape::dense(3, resnet::STEM, 7).stride(2);
    let x = graph.conv(x, "conv1", stem, Some("bn1"))?;
    let x = relu(graph, &x);
    let mut x = max_pool(graph, &x);
    for block in resnet::blocks() {
        let path = &block.path;
        let mut hidden = x.clone();
        for (number, shape) in (1..).zip(block.convolutions()) {
            let (conv, norm) = (format!("{path}.conv{number}"), format!("{path}.bn{number}"));
            hidden = graph.conv(&hidden, &conv, shape, Some(&norm))?;
            if number < 3 {
                hidden = relu(graph, &hidden);
            }
        }
        let shortcut = if block.projects {
            let (conv, norm) = (format!("{path}.downsample.0"), format!("{path}.downsample.1"));
            graph.conv(&x, &conv, block.projection(), Some(&norm))?
        } else {
            x
        };
        let sum = graph.node("Add", &[&hidden, &shortcut], vec![]);
        x = relu(graph, &sum);
    }
    Ok(x)
}

fn efficientnet_b0(graph: &mut GraphBuilder, x: &str) -> Result<Value> {
    let mut x = swish_unit(graph, x, "features.0", ConvShape::dense(3, efficientnet::STEM, 3).stride(2))?;
    for block in efficientnet::blocks() {
        let path = &block.path;
        let mut hidden = x.clone();
        let mut next = 0;
        if block.expands() {
            let expand = ConvShape::dense(block.inputs, block.hidden, 1);
            hidden = swish_unit(graph, &hidden, &format!("{path}.0"), expand)?;
            next = 1;
        }
        hidden = swish_unit(graph, &hidden, &format!("{path}.{next}"), block.depthwise())?;
        hidden = excitation(graph, &hidden, &format!("{path}.{}", next + 1), &block)?;
        let project = ConvShape::dense(block.hidden, block.outputs, 1);
        let (conv, norm) = (format!("{path}.{}.0", next + 2), format!("{path}.{}.1", next + 2));
        let out = graph.conv(&hidden, &conv, project, Some(&norm))?;
        x = if block.is_residual() { graph.node("Add", &[&out, &x], vec![]) } else { out };
    }
    let last = ConvShape::dense(efficientnet::LAST, efficientnet::FEATURES, 1);
    swish_unit(graph, &x, "features.8", last)
}

/// Convolution, normalisation, `x sigmoid(x)`.
fn swish_unit(graph: &mut GraphBuilder, x: &str, path: &str, shape: ConvShape) -> Result<Value> {
    let y = graph.conv(x, &format!("{path}.0"), shape, Some(&format!("{path}.1")))?;
    Ok(swish(graph, &y))
}

fn swish(graph: &mut GraphBuilder, x: &str) -> Value {
    let gate = graph.node("Sigmoid", &[x], vec![]);
    graph.node("Mul", &[x, &gate], vec![])
}

fn excitation(
    graph: &mut GraphBuilder,
    x: &str,
    path: &str,
    block: &efficientnet::BlockShape,
) -> Result<Value> {
    let mean = graph.node("GlobalAveragePool", &[x], vec![]);
    let (squeeze, expand) = (
        ConvShape::dense(block.hidden, block.squeezed(), 1),
        ConvShape::dense(block.squeezed(), block.hidden, 1),
    );
    let squeezed = graph.conv(&mean, &format!("{path}.fc1"), squeeze, None)?;
    let squeezed = swish(graph, &squeezed);
    let expanded = graph.conv(&squeezed, &format!("{path}.fc2"), expand, None)?;
    let gate = graph.node("Sigmoid", &[&expanded], vec![]);
    Ok(graph.node("Mul", &[x, &gate], vec![]))
}

fn max_pool(graph: &mut GraphBuilder, x: &str) -> Value {
    let pool = vec![ints("kernel_shape", &[3; 2]), ints("pads", &[1; 4]), ints("strides", &[2; 2])];
    graph.node("MaxPool", &[x], pool)
}

fn relu(graph: &mut GraphBuilder, x: &str) -> Value {
    graph.node("Relu", &[x], vec![])
}

fn head(graph: &mut GraphBuilder, features_nchw: &str, n_features: i64) -> Result<()> {
    let (weight, bias) = (graph.parameter("classifier.weight")?, graph.parameter("classifier.bias")?);
    let direction = graph.constant("cam.weight", &[1, n_features, 1, 1], &weight);
    graph.named_node("Conv", &[features_nchw, &direction], vec![ints("kernel_shape", &[1; 2])], "cam");
    let pooled = graph.node("GlobalAveragePool", &[features_nchw], vec![]);
    let embedding = graph.named_node("Flatten", &[&pooled], vec![int("axis", 1)], "embedding");
    let weight = graph.constant("classifier.weight", &[1, n_features], &weight);
    let bias = graph.constant("classifier.bias", &[1], &bias);
    graph.named_node("Gemm", &[&embedding, &weight, &bias], vec![int("transB", 1)], "logits");
    Ok(())
}
