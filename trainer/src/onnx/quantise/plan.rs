//! Which values of a prepared graph are held in eight bits, and which stay float: what follows a mean over all positions is a
//! few numbers an image, costs nothing and decides everything.

use super::graph::Graph;
use super::prepare::PLANES_FLOAT;
use std::collections::BTreeSet;

/// The division of a graph.
#[derive(Debug)]
pub(super) struct Plan {
    /// Values that are held in eight bits, by the name that they have after their activation.
    pub(super) held: BTreeSet<String>,
    /// Values made by operations that stay float.
    float: BTreeSet<String>,
}

impl Plan {
    /// Divides the graph.
    pub(super) fn of(graph: &Graph) -> Self {
        let float = float_values(graph);
        let mut held = BTreeSet::from([PLANES_FLOAT.to_owned()]);
        for (index, node) in graph.nodes.iter().enumerate() {
            let output = &node.output[0];
            if matches!(node.op_type.as_str(), "Pad" | "Cast" | "Relu" | "Clip") {
                continue;
            }
            if !float.contains(output) {
                held.insert(after_activation(graph, index));
                // What an integer operation takes from a float one is rounded before it.
                held.extend(node.input.iter().filter(|input| float.contains(*input)).cloned());
            }
        }
        Self { held, float }
    }

    /// Whether the operation that makes this value computes in float.
    pub(super) fn is_float(&self, value: &str) -> bool {
        self.float.contains(value)
    }
}

/// The name of a node's value after the rectification that alone takes it: eight bits that begin at 0, or end at the clip's
/// limit, are rectified by their range.
pub(super) fn after_activation(graph: &Graph, index: usize) -> String {
    let output = &graph.nodes[index].output[0];
    let activation = graph.only_consumer(output, "Relu").or_else(|| graph.only_consumer(output, "Clip"));
    activation.map_or_else(|| output.clone(), |activation| graph.nodes[activation].output[0].clone())
}

/// Values that derive from means over all positions alone, and the graph's outputs. A mean itself is taken in eight bits where
/// it only weighs channels, and in float where it becomes the embedding.
fn float_values(graph: &Graph) -> BTreeSet<String> {
    let (mut float, mut means) = (BTreeSet::new(), BTreeSet::new());
    for node in &graph.nodes {
        let output = &node.output[0];
        if node.op_type == "GlobalAveragePool" {
            if graph.only_consumer(output, "Flatten").is_some() {
                float.insert(output.clone());
            } else {
                means.insert(output.clone());
            }
            continue;
        }
        let mut inputs = node.input.iter().filter(|input| !graph.is_constant(input));
        let derives = inputs.all(|input| float.contains(input) || means.contains(input));
        if graph.is_output(output) || derives && node.op_type != "Pad" && !node.input.is_empty() {
            float.insert(output.clone());
        }
    }
    float
}
