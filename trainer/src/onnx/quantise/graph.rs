//! An ONNX graph for rewriting: producers, consumers and constants.

use crate::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, code,
};
use anyhow::{Context, Result, bail, ensure};
use prost::Message;
use std::collections::BTreeSet;

const OPERATIONS: &str = "Add, AveragePool, BatchNormalization, Cast, Clip, Concat, Conv, Flatten, Gemm, GlobalAveragePool, \
                          MaxPool, Mul, Pad, Relu, Sigmoid";

#[derive(Debug, Clone)]
pub(super) struct Graph {
    model: ModelProto,
    pub(super) nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    outputs: Vec<ValueInfoProto>,
}

impl Graph {
    /// Fails on anything that our graphs do not have, because it would be lost.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut model = ModelProto::decode(bytes).context("not an ONNX file")?;
        ensure!(
            model.encode_to_vec() == bytes,
            "holds more than our graphs do; only a graph that this program exported can be quantised"
        );
        let GraphProto { node, name, initializer, input, output } =
            model.graph.take().context("no graph in the file")?;
        model.graph = Some(GraphProto { name, input, ..Default::default() });
        for node in &node {
            ensure!(
                OPERATIONS.split(", ").any(|known| known == node.op_type),
                "node {}: operation {} cannot be quantised; known are {OPERATIONS}",
                node.name,
                node.op_type
            );
        }
        Ok(Self { model, nodes: node, constants: initializer, outputs: output })
    }

    /// The file, with `also` as further outputs.
    pub(super) fn encode(&self, also: &[ValueInfoProto]) -> Vec<u8> {
        let mut model = self.model.clone();
        if let Some(graph) = &mut model.graph {
            graph.node.clone_from(&self.nodes);
            graph.initializer.clone_from(&self.constants);
            graph.output = self.outputs.iter().chain(also).cloned().collect();
        }
        model.encode_to_vec()
    }

    pub(super) fn is_output(&self, value: &str) -> bool {
        self.outputs.iter().any(|output| output.name == value)
    }

    /// None for inputs and constants.
    pub(super) fn producer(&self, value: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.output.iter().any(|output| output == value))
    }

    pub(super) fn consumers(&self, value: &str) -> Vec<usize> {
        let consumes = |node: &NodeProto| node.input.iter().any(|input| input == value);
        (0..self.nodes.len()).filter(|index| consumes(&self.nodes[*index])).collect()
    }

    /// The only consumer of a value, if it is this operation.
    pub(super) fn only_consumer(&self, value: &str, operation: &str) -> Option<usize> {
        match self.consumers(value)[..] {
            [only] if self.nodes[only].op_type == operation && !self.is_output(value) => Some(only),
            _ => None,
        }
    }

    pub(super) fn is_constant(&self, value: &str) -> bool {
        self.constants.iter().any(|constant| constant.name == value)
    }

    pub(super) fn dims(&self, name: &str) -> Result<Vec<i64>> {
        Ok(self.constant(name)?.dims.clone())
    }

    pub(super) fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let constant = self.constant(name)?;
        ensure!(constant.data_type == code::FLOAT, "constant {name}: not float32");
        let values = constant.raw_data.as_chunks::<4>().0;
        Ok(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn constant(&self, name: &str) -> Result<&TensorProto> {
        let found = self.constants.iter().find(|constant| constant.name == name);
        found.with_context(|| format!("value {name}: not a constant"))
    }

    /// Adds or replaces a float constant.
    pub(super) fn set_floats(&mut self, name: &str, dims: &[i64], values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.set(name, dims, code::FLOAT, bytes);
    }

    /// Adds or replaces a constant; `raw_data` is little endian.
    pub(super) fn set(&mut self, name: &str, dims: &[i64], data_type: i32, raw_data: Vec<u8>) {
        self.constants.retain(|constant| constant.name != name);
        self.constants.push(TensorProto { dims: dims.to_vec(), data_type, name: name.to_owned(), raw_data });
    }

    /// Removes unused constants.
    pub(super) fn sweep(&mut self) {
        let used: BTreeSet<&str> =
            self.nodes.iter().flat_map(|node| &node.input).map(String::as_str).collect();
        self.constants.retain(|constant| used.contains(constant.name.as_str()));
    }
}

pub(super) fn node(
    operation: &str,
    inputs: &[&str],
    attribute: Vec<AttributeProto>,
    output: &str,
) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|input| (*input).to_owned()).collect(),
        output: vec![output.to_owned()],
        name: format!("{output}_{operation}"),
        op_type: operation.to_owned(),
        attribute,
    }
}

/// Empty if the attribute is not set.
pub(super) fn integers<'a>(node: &'a NodeProto, name: &str) -> &'a [i64] {
    attribute(node, name).map_or(&[], |attribute| &attribute.ints)
}

pub(super) fn integer(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |attribute| attribute.i)
}

pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

pub(super) fn is_padded(node: &NodeProto) -> bool {
    integers(node, "pads").iter().any(|pad| *pad != 0)
}

/// Names of a convolution's weight and bias.
pub(super) fn parameters(node: &NodeProto) -> Result<(&str, Option<&str>)> {
    match &node.input[..] {
        [_, weight] => Ok((weight, None)),
        [_, weight, bias] => Ok((weight, Some(bias))),
        _ => bail!("node {}: not a convolution", node.name),
    }
}
