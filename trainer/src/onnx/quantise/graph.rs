//! An ONNX graph that is being rewritten: producers, consumers and constants.

use crate::onnx::graph::int;
use crate::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, code,
};
use anyhow::{Context, Result, bail, ensure};
use prost::Message;
use std::collections::BTreeSet;

/// The operations that graphs of ours are made of.
const OPERATIONS: [&str; 15] = [
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Conv",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "MaxPool",
    "Mul",
    "Pad",
    "Relu",
    "Sigmoid",
];

/// A graph under rewriting.
#[derive(Debug, Clone)]
pub(super) struct Graph {
    model: ModelProto,
    pub(super) nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    outputs: Vec<ValueInfoProto>,
}

impl Graph {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is no ONNX file, or holds what graphs of ours do not: nothing may be lost on the way.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut model = ModelProto::decode(bytes).context("is no ONNX file")?;
        ensure!(
            model.encode_to_vec() == bytes,
            "holds more than graphs of this program do; only a graph that it exported can be quantised"
        );
        let GraphProto { node, name, initializer, input, output } =
            model.graph.take().context("holds no graph")?;
        model.graph = Some(GraphProto { name, input, ..Default::default() });
        for node in &node {
            ensure!(
                OPERATIONS.contains(&node.op_type.as_str()),
                "node {}: operation {} cannot be quantised; known are {}",
                node.name,
                node.op_type,
                OPERATIONS.join(", ")
            );
        }
        Ok(Self { model, nodes: node, constants: initializer, outputs: output })
    }

    /// Writes the file, with these values as outputs beside its own.
    pub(super) fn encode(&self, also: &[ValueInfoProto]) -> Vec<u8> {
        let mut model = self.model.clone();
        if let Some(graph) = &mut model.graph {
            graph.node.clone_from(&self.nodes);
            graph.initializer.clone_from(&self.constants);
            graph.output = self.outputs.iter().chain(also).cloned().collect();
        }
        model.encode_to_vec()
    }

    /// Whether a value is one of the graph's outputs.
    pub(super) fn is_output(&self, value: &str) -> bool {
        self.outputs.iter().any(|output| output.name == value)
    }

    /// The node that makes a value; none for inputs and constants.
    pub(super) fn producer(&self, value: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.output.iter().any(|output| output == value))
    }

    /// The nodes that take a value.
    pub(super) fn consumers(&self, value: &str) -> Vec<usize> {
        let takes = |node: &NodeProto| node.input.iter().any(|input| input == value);
        (0..self.nodes.len()).filter(|index| takes(&self.nodes[*index])).collect()
    }

    /// The node that alone takes a value, if it is of this operation.
    pub(super) fn only_consumer(&self, value: &str, operation: &str) -> Option<usize> {
        match self.consumers(value)[..] {
            [only] if self.nodes[only].op_type == operation && !self.is_output(value) => Some(only),
            _ => None,
        }
    }

    /// Whether a value is a constant.
    pub(super) fn is_constant(&self, value: &str) -> bool {
        self.constants.iter().any(|constant| constant.name == value)
    }

    /// A constant's shape.
    pub(super) fn dims(&self, name: &str) -> Result<Vec<i64>> {
        Ok(self.constant(name)?.dims.clone())
    }

    /// A float constant's values.
    pub(super) fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let constant = self.constant(name)?;
        ensure!(constant.data_type == code::FLOAT, "constant {name}: is not float32");
        let values = constant.raw_data.as_chunks::<4>().0;
        Ok(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn constant(&self, name: &str) -> Result<&TensorProto> {
        let found = self.constants.iter().find(|constant| constant.name == name);
        found.with_context(|| format!("value {name}: is no constant"))
    }

    /// Sets a float constant, a new one or an old one.
    pub(super) fn set_floats(&mut self, name: &str, dims: &[i64], values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.set(name, dims, code::FLOAT, bytes);
    }

    /// Sets a constant of any element type, given as little-endian bytes.
    pub(super) fn set(&mut self, name: &str, dims: &[i64], data_type: i32, raw_data: Vec<u8>) {
        self.constants.retain(|constant| constant.name != name);
        self.constants.push(TensorProto { dims: dims.to_vec(), data_type, name: name.to_owned(), raw_data });
    }

    /// Removes the constants that no node takes.
    pub(super) fn sweep(&mut self) {
        let taken: BTreeSet<&str> =
            self.nodes.iter().flat_map(|node| &node.input).map(String::as_str).collect();
        self.constants.retain(|constant| taken.contains(constant.name.as_str()));
    }
}

/// A node whose value is called `output`.
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

/// An attribute of several integers; empty where it is not set.
pub(super) fn integers<'a>(node: &'a NodeProto, name: &str) -> &'a [i64] {
    let found = node.attribute.iter().find(|attribute| attribute.name == name);
    found.map_or(&[], |attribute| &attribute.ints)
}

/// An attribute of one integer, with ONNX's default.
pub(super) fn integer(node: &NodeProto, name: &str, default: i64) -> i64 {
    let found = node.attribute.iter().find(|attribute| attribute.name == name);
    found.map_or(default, |attribute| attribute.i)
}

/// Whether a convolution has padding.
pub(super) fn is_padded(node: &NodeProto) -> bool {
    integers(node, "pads").iter().any(|pad| *pad != 0)
}

/// The names of a convolution's constants: weight, and bias where it has one.
pub(super) fn parameters(node: &NodeProto) -> Result<(&str, Option<&str>)> {
    match &node.input[..] {
        [_, weight] => Ok((weight, None)),
        [_, weight, bias] => Ok((weight, Some(bias))),
        _ => bail!("node {}: is no convolution", node.name),
    }
}

/// The attribute that says along which axis a quantisation runs.
pub(super) fn axis(axis: i64) -> AttributeProto {
    int("axis", axis)
}
