//! Builds an ONNX graph from the parameters of a network.

use super::proto::{
    AttributeProto, Dimension, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, code,
};
use crate::model::layers::{ConvShape, NORM_EPSILON};
use crate::model::weights::NamedTensors;
use anyhow::{Context, Result, ensure};
use cxr::bundle::TensorSpec;
use prost::Message;
use tch::Kind;

const IR_VERSION: i64 = 8;
const OPSET_VERSION: i64 = 17;

/// The name of a value in the graph.
pub type Value = String;

#[derive(Debug)]
pub struct GraphBuilder<'a> {
    parameters: &'a NamedTensors,
    graph: GraphProto,
}

impl<'a> GraphBuilder<'a> {
    pub fn new(name: &str, parameters: &'a NamedTensors) -> Self {
        Self { parameters, graph: GraphProto { name: name.to_owned(), ..Default::default() } }
    }

    /// Adds an operation and returns its output.
    pub fn node(&mut self, operation: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> Value {
        let output = format!("{}_{}", operation.to_lowercase(), self.graph.node.len());
        self.named_node(operation, inputs, attributes, &output)
    }

    /// Adds an operation whose output is called `output`.
    pub fn named_node(
        &mut self,
        operation: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
        output: &str,
    ) -> Value {
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: format!("{operation}_{}", self.graph.node.len()),
            op_type: operation.to_owned(),
            attribute,
        });
        output.to_owned()
    }

    pub fn constant(&mut self, name: &str, dims: &[i64], values: &[f32]) -> Value {
        self.graph.initializer.push(TensorProto {
            dims: dims.to_vec(),
            data_type: code::FLOAT,
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        name.to_owned()
    }

    pub fn parameter(&self, name: &str) -> Result<Vec<f32>> {
        let tensor =
            self.parameters.get(name).with_context(|| format!("the network has no parameter {name}"))?;
        Ok(Vec::try_from(tensor.detach().to_device(tch::Device::Cpu).to_kind(Kind::Float).flatten(0, -1))?)
    }

    /// A convolution with its bias, if it has one, or with the batch normalisation after it folded in.
    pub fn conv(&mut self, x: &str, path: &str, shape: ConvShape, norm: Option<&str>) -> Result<Value> {
        let (weight_name, bias_name) = (format!("{path}.weight"), format!("{path}.bias"));
        let mut weight = self.parameter(&weight_name)?;
        let dims = [shape.outputs, shape.inputs / shape.groups, shape.kernel, shape.kernel];
        ensure!(dims.iter().product::<i64>() == weight.len() as i64, "{weight_name}: not of shape {dims:?}");
        let mut bias = None;
        if let Some(norm) = norm {
            let part = |part: &str| self.parameter(&format!("{norm}.{part}"));
            let norm = [part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?];
            let (scale, shift) = norm_as_affine(&norm, NORM_EPSILON);
            let filter_len = dims[1..].iter().product::<i64>() as usize;
            for (filter, scale) in weight.chunks_exact_mut(filter_len).zip(scale) {
                for value in filter {
                    *value = (f64::from(*value) * scale) as f32;
                }
            }
            bias = Some(shift);
        } else if self.parameters.contains_key(&bias_name) {
            bias = Some(self.parameter(&bias_name)?);
        }
        let bias = bias.map(|bias| self.constant(&bias_name, &[shape.outputs], &bias));
        let weight = self.constant(&weight_name, &dims, &weight);
        let inputs: Vec<&str> = [x, &weight].into_iter().chain(bias.as_deref()).collect();
        let window = conv_window(&[shape.kernel; 2], shape.kernel / 2, &[shape.stride; 2], shape.groups);
        Ok(self.node("Conv", &inputs, window))
    }

    /// A batch normalisation without a convolution before it. ONNX Runtime runs the node faster than a
    /// product and a sum.
    pub fn norm(&mut self, x: &str, path: &str) -> Result<Value> {
        let mut inputs = vec![x.to_owned()];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            let name = format!("{path}.{part}");
            let values = self.parameter(&name)?;
            inputs.push(self.constant(&name, &[values.len() as i64], &values));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok(self.node("BatchNormalization", &inputs, vec![float("epsilon", NORM_EPSILON as f32)]))
    }

    /// Encodes the graph as an ONNX file.
    pub fn finish(mut self, input: &TensorSpec, outputs: &[TensorSpec]) -> Result<Vec<u8>> {
        self.graph.input = vec![value_info(input)?];
        self.graph.output = outputs.iter().map(value_info).collect::<Result<_>>()?;
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: env!("CARGO_PKG_NAME").to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET_VERSION }],
        };
        Ok(model.encode_to_vec())
    }
}

/// A batch normalisation (weight, bias, mean, variance) as `scale * x + shift` for each channel.
pub fn norm_as_affine([weight, bias, mean, variance]: &[Vec<f32>; 4], epsilon: f64) -> (Vec<f64>, Vec<f32>) {
    let scale =
        |(weight, variance): (&f32, &f32)| f64::from(*weight) / (f64::from(*variance) + epsilon).sqrt();
    let scale: Vec<f64> = weight.iter().zip(variance).map(scale).collect();
    let shift = |((bias, mean), scale): ((&f32, &f32), &f64)| f64::from(*bias) - f64::from(*mean) * scale;
    let shift = bias.iter().zip(mean).zip(&scale).map(|parts| shift(parts) as f32).collect();
    (scale, shift)
}

fn value_info(spec: &TensorSpec) -> Result<ValueInfoProto> {
    let elem_type = match spec.dtype.as_str() {
        "float32" => code::FLOAT,
        "uint8" => code::UINT8,
        other => anyhow::bail!("{}: element type {other} is not supported", spec.name),
    };
    let dimension = |side: &Option<u32>| DimensionProto {
        value: Some(side.map_or(Dimension::Free("N".to_owned()), |side| Dimension::Fixed(i64::from(side)))),
    };
    let shape = Some(TensorShapeProto { dim: spec.shape.iter().map(dimension).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type, shape });
    Ok(ValueInfoProto { name: spec.name.clone(), r#type: Some(TypeProto { tensor_type }) })
}

/// Attributes of a convolution with equal padding on all sides.
pub fn conv_window(kernel: &[i64], padding: i64, strides: &[i64], groups: i64) -> Vec<AttributeProto> {
    let sides = [ints("kernel_shape", kernel), ints("pads", &[padding; 4]), ints("strides", strides)];
    sides.into_iter().chain([int("group", groups)]).collect()
}

pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: value, r#type: code::ATTRIBUTE_INT, ..Default::default() }
}

pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ints: values.to_vec(),
        r#type: code::ATTRIBUTE_INTS,
        ..Default::default()
    }
}

pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), f: value, r#type: code::ATTRIBUTE_FLOAT, ..Default::default() }
}
