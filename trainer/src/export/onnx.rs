//! Our networks as ONNX graphs: uint8 grey in, normalisation inside, logits, class activation map and embedding out.
//! Each architecture's file follows its namesake in `model`; `parity` proves that it does.

mod densenet;
mod efficientnet;
mod mobilenet;
mod resnet;

use super::graph::{GraphBuilder, Value, int, ints};
use super::proto::code;
use crate::model::mobilenet::FirstBlock;
use crate::model::weights::NamedTensors;
use crate::model::{Architecture, IMAGENET_DEVIATION, IMAGENET_MEAN};
use anyhow::Result;
use cxr::bundle::{ModelContract, TensorSpec};

/// The tensors of a network's graph for inputs of `size` columns and rows.
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

/// Encodes a network as an ONNX file.
///
/// # Errors
/// When the parameters are not those of the architecture.
pub fn encode(architecture: Architecture, parameters: &NamedTensors, size: (u32, u32)) -> Result<Vec<u8>> {
    let mut graph = GraphBuilder::new(architecture.name(), parameters);
    let x = normalise(&mut graph);
    let features = match architecture {
        Architecture::MobileNetV2 => mobilenet::features(&mut graph, &x, FirstBlock::Plain)?,
        Architecture::MobileNetV2Expanded => mobilenet::features(&mut graph, &x, FirstBlock::Expanded)?,
        Architecture::DenseNet121 => densenet::features(&mut graph, &x)?,
        Architecture::ResNet50 => resnet::features(&mut graph, &x)?,
        Architecture::EfficientNetB0 => efficientnet::features(&mut graph, &x)?,
    };
    head(&mut graph, &features, architecture.features())?;
    let contract = contract(architecture, size);
    graph.finish(&contract.input, &contract.outputs)
}

/// `(x / 255 - mean) / deviation` as one product and one sum, whose `[1, 3, 1, 1]` constants turn one channel into
/// three. It cannot be folded into the first convolution: the zeros of its padding come after the normalisation.
fn normalise(graph: &mut GraphBuilder) -> Value {
    let grey = graph.node("Cast", &["image"], vec![int("to", i64::from(code::FLOAT))]);
    let scale = IMAGENET_DEVIATION.map(|deviation| 1.0 / (255.0 * deviation));
    let mut shift = [0.0; 3];
    for (channel, value) in shift.iter_mut().enumerate() {
        *value = -IMAGENET_MEAN[channel] / IMAGENET_DEVIATION[channel];
    }
    let scale = graph.constant("normalise.scale", &[1, 3, 1, 1], &scale);
    let shift = graph.constant("normalise.shift", &[1, 3, 1, 1], &shift);
    let scaled = graph.node("Mul", &[&grey, &scale], vec![]);
    graph.node("Add", &[&scaled, &shift], vec![])
}

fn relu(graph: &mut GraphBuilder, x: &str) -> Value {
    graph.node("Relu", &[x], vec![])
}

/// The 3x3 maximum of stride 2 that ends the stems of DenseNet and ResNet.
fn max_pool(graph: &mut GraphBuilder, x: &str) -> Value {
    let attributes = vec![ints("kernel_shape", &[3; 2]), ints("pads", &[1; 4]), ints("strides", &[2; 2])];
    graph.node("MaxPool", &[x], attributes)
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
