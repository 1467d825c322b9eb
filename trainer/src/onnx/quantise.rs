//! Static quantisation of a float32 graph that this program exported: 8-bit operations, same input and
//! outputs. Activations are unsigned with one scale per tensor, weights signed with one scale per filter;
//! ranges are measured on images beforehand. `docs/decisions/0006-int8.md` gives the reasons.

pub mod batches;
mod equalise;
mod graph;
mod histogram;
mod observe;
mod plan;
mod prepare;
mod rewrite;
pub mod scale;

use anyhow::{Context, Result, ensure};
use equalise::{Span, equalise};
use graph::Graph;
use observe::{Observed, observe};
use plan::Plan;
use prepare::{PLANES_FLOAT, prepare};
use rewrite::{Quantised, rewrite};
use runtime::Runtime;
use scale::Affine;
use std::collections::BTreeMap;

/// Quantises a graph with ranges measured on `images` of `size`, columns and rows, one byte per pixel.
pub fn quantise<'a>(
    runtime: &Runtime,
    onnx: &[u8],
    images: impl ExactSizeIterator<Item = &'a [u8]>,
    size: (u32, u32),
    weight_bits: u32,
) -> Result<Vec<u8>> {
    ensure!(
        (2..=8).contains(&weight_bits),
        "weights of {weight_bits} bits: 8-bit kernels take 2 to 8, including the sign"
    );
    let mut graph = Graph::decode(onnx).context("the graph to quantise")?;
    prepare(&mut graph)?;
    let plan = Plan::of(&graph);
    let values: Vec<String> = plan.quantised.iter().cloned().collect();
    let observed = observe(runtime, &graph, &values, images, size)?;
    let spans = equalise(&mut graph, &observed)?;
    let mut quantised: BTreeMap<String, Quantised> = observed
        .iter()
        .filter(|(value, _)| plan.quantised.contains(*value))
        .map(|(value, found)| (value.clone(), parameters(value, found, spans.get(value).map(Vec::as_slice))))
        .collect();
    share_through_pooling(&graph, &mut quantised);
    rewrite(&mut graph, &plan, &quantised, weight_bits)?;
    Ok(graph.encode(&[]))
}

/// Quantisation parameters of a value; `spans` of its channels if it was equalised.
fn parameters(value: &str, observed: &Observed, spans: Option<&[Span]>) -> Quantised {
    let mean = observed.mean();
    match spans {
        // Grey levels are 8-bit values already.
        _ if value == PLANES_FLOAT => Quantised { affine: Affine { scale: 1.0, zero: 0 }, mean },
        Some(spans) => {
            let scaled = mean.iter().zip(spans);
            let scaled = scaled.map(|(mean, span)| (mean - f64::from(span.low)) / f64::from(span.length));
            Quantised { affine: Affine::covering(0.0, 1.0), mean: scaled.collect() }
        }
        None => Quantised { affine: observed.histogram.affine_of_least_error(), mean },
    }
}

/// The output of max pooling has the scale of its input.
fn share_through_pooling(graph: &Graph, quantised: &mut BTreeMap<String, Quantised>) {
    for node in graph.nodes.iter().filter(|node| node.op_type == "MaxPool") {
        let affine = quantised.get(&node.input[0]).map(|quantised| quantised.affine);
        if let (Some(affine), Some(output)) = (affine, quantised.get_mut(&node.output[0])) {
            output.affine = affine;
        }
    }
}
