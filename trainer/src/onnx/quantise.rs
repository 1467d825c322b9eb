//! Quantisation: a float32 graph that this program exported, as a graph of 8-bit operations with the same input and outputs.
//! Activations are unsigned with one scale a tensor, weights signed with one scale a filter, all of them fixed beforehand from
//! images. `docs/decisions/0006-int8.md` says why.

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
use rewrite::{Held, rewrite};
use runtime::Runtime;
use scale::Affine;
use std::collections::BTreeMap;

/// Quantises a graph: `images` of `size` columns and rows, one byte a pixel, say which values flow through it.
///
/// # Errors
/// When the graph is not one of ours, ONNX Runtime refuses it, or there is no image.
pub fn quantise<'a>(
    runtime: &Runtime,
    onnx: &[u8],
    images: impl ExactSizeIterator<Item = &'a [u8]>,
    size: (u32, u32),
    weight_bits: u32,
) -> Result<Vec<u8>> {
    ensure!(
        (2..=8).contains(&weight_bits),
        "weights of {weight_bits} bits: an 8-bit kernel takes 2 to 8, its sign included"
    );
    let mut graph = Graph::decode(onnx).context("the graph to be quantised")?;
    prepare(&mut graph)?;
    let plan = Plan::of(&graph);
    let values: Vec<String> = plan.held.iter().cloned().collect();
    let observed = observe(runtime, &graph, &values, images, size)?;
    let spans = equalise(&mut graph, &observed)?;
    let mut held: BTreeMap<String, Held> = observed
        .iter()
        .filter(|(value, _)| plan.held.contains(*value))
        .map(|(value, found)| (value.clone(), hold(value, found, spans.get(value).map(Vec::as_slice))))
        .collect();
    share_through_maxima(&graph, &mut held);
    rewrite(&mut graph, &plan, &held, weight_bits)?;
    Ok(graph.encode(&[]))
}

/// How a value is held, given the spans of its channels where it was equalised.
fn hold(value: &str, observed: &Observed, spans: Option<&[Span]>) -> Held {
    let mean = observed.mean();
    match spans {
        // Grey levels are their own 8-bit values.
        _ if value == PLANES_FLOAT => Held { affine: Affine { scale: 1.0, zero: 0 }, mean },
        Some(spans) => {
            let scaled = mean.iter().zip(spans);
            let scaled = scaled.map(|(mean, span)| (mean - f64::from(span.low)) / f64::from(span.length));
            Held { affine: Affine::covering(0.0, 1.0), mean: scaled.collect() }
        }
        None => Held { affine: observed.histogram.affine_of_least_error(), mean },
    }
}

/// The maximum of 8-bit values is one of them: it is held as they are.
fn share_through_maxima(graph: &Graph, held: &mut BTreeMap<String, Held>) {
    for node in graph.nodes.iter().filter(|node| node.op_type == "MaxPool") {
        let affine = held.get(&node.input[0]).map(|held| held.affine);
        if let (Some(affine), Some(output)) = (affine, held.get_mut(&node.output[0])) {
            output.affine = affine;
        }
    }
}
