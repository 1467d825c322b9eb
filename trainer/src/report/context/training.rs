//! Derived values of section 3.

use crate::report::sources::{Epoch, Sources};
use crate::tune::TuneFile;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde_json::json;

pub(super) fn of(sources: &Sources) -> Value {
    let study = sources.study.as_ref().ok();
    context! {
        unused_parameters => study.map(|study| unused(sources, &study.file)).unwrap_or_default(),
        convergence => Serde(sources.epochs.as_ref().ok().and_then(|epochs| convergence(epochs))),
    }
}

/// Parameters with another value than in the study's best configuration, as `key value`.
fn unused(sources: &Sources, file: &TuneFile) -> Vec<String> {
    let part = serde_json::to_value(sources.config().training_part()).unwrap_or_default();
    let drawn = file.best.iter().flat_map(|best| &best.parameters);
    let others = drawn.filter_map(|(key, value)| {
        let here = part.pointer(&format!("/{}", key.replace('.', "/")))?;
        (here.as_f64() != value.as_f64()).then(|| format!("`{key}` {here}"))
    });
    others.collect()
}

/// The smallest and the last loss on select.
fn convergence(epochs: &[Epoch]) -> Option<serde_json::Value> {
    let losses: Vec<f64> = epochs.iter().filter_map(|epoch| epoch.select_loss.parse().ok()).collect();
    let (at, smallest) = losses.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(json!({ "smallest": smallest, "epoch": at + 1, "n": losses.len(), "last": losses.last()? }))
}
