//! Divides the values of a prepared graph into 8-bit and float. What follows a mean over all positions stays
//! float: it is a few numbers per image, cheap to compute, and the output depends on its precision.

use super::graph::Graph;
use super::prepare::PLANES_FLOAT;
use std::collections::BTreeSet;

#[derive(Debug)]
pub(super) struct Plan {
    /// 8-bit values, by their name after the activation.
    pub(super) quantised: BTreeSet<String>,
    /// Outputs of operations that stay float.
    float: BTreeSet<String>,
}

impl Plan {
    pub(super) fn of(graph: &Graph) -> Self {
        let float = float_values(graph);
        let mut quantised = BTreeSet::from([PLANES_FLOAT.to_owned()]);
        for (index, node) in graph.nodes.iter().enumerate() {
            let output = &node.output[0];
            if matches!(node.op_type.as_str(), "Pad" | "Cast" | "Relu" | "Clip") {
                continue;
            }
            if !float.contains(output) {
                quantised.insert(after_activation(graph, index));
                // A float input of an integer operation is quantised first.
                quantised.extend(node.input.iter().filter(|input| float.contains(*input)).cloned());
            }
        }
        Self { quantised, float }
    }

    pub(super) fn is_float(&self, value: &str) -> bool {
        self.float.contains(value)
    }
}

/// The name of a node's output after the activation that is its only consumer. An 8-bit range that begins at
/// 0, or ends at the limit of the clip, does the work of the activation.
pub(super) fn after_activation(graph: &Graph, index: usize) -> String {
    let output = &graph.nodes[index].output[0];
    let activation = graph.only_consumer(output, "Relu").or_else(|| graph.only_consumer(output, "Clip"));
    activation.map_or_else(|| output.clone(), |activation| graph.nodes[activation].output[0].clone())
}

/// Values kept in float: outputs, and what derives only from spatial means. The mean itself is float where
/// it becomes the embedding, and 8-bit where it only weights channels.
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
