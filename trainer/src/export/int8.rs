//! Adds the int8 variant to the bundle of a run.

pub mod variant;

use super::contents::{BundleFiles, GRAPH};
use super::{card, golden};
use crate::export::int8::variant::{Fp32Model, GRAPH_INT8, Int8, Quantised, VARIANT_INT8};
use crate::measure::calibrate::Calibrated;
use crate::progress::say;
use crate::train::trained::TrainedRun;
use anyhow::{Context, Result};
use cxr::bundle::{Manifest, Variant};
use cxr::reference::Reference;
use runtime::Runtime;

pub(crate) const HEADING: &str = "### int8 variant\n";

/// Adds the variant if the configuration asks for it and it is close enough to fp32. Returns the section of
/// the card, which states why a variant was left out; none if none was asked for.
pub(super) fn add(
    trained: &TrainedRun,
    calibrated: &Calibrated,
    runtime: &Runtime,
    (manifest, reference): (&mut Manifest, &mut Reference),
    files: &mut BundleFiles,
) -> Result<Option<String>> {
    let config = trained.config;
    if !config.export.int8 {
        return Ok(None);
    }
    let model = Fp32Model {
        runtime,
        config,
        contract: &manifest.model,
        graph: files.get(GRAPH).context("no fp32 graph")?,
        fp32: (calibrated.calibration, calibrated.policy.threshold),
        embedding: &calibrated.reference.embedding,
        index: &trained.index,
        folds: &trained.folds,
        recipe: trained.recipe(),
    };
    let Quantised { graph, mut session, variant, comparison, on_calibrate } = match model.quantise()? {
        Int8::Variant(quantised) => *quantised,
        Int8::LeftOut(why) => {
            say(format!("the variant int8 is left out of the bundle, which has only fp32: {why}"));
            return Ok(Some(format!("{HEADING}\nLeft out of this bundle: {why}.\n")));
        }
    };
    let golden = golden::golden(&mut session, super::input_size(config), golden::TOLERANCE_INT8, files)?;
    let variant = Variant { golden, ..variant };
    let section = card::int8(&variant, &comparison)?;
    manifest.variants.insert(VARIANT_INT8.to_owned(), variant);
    reference.add_variant(VARIANT_INT8, &on_calibrate.probabilities, &on_calibrate.positive);
    files.insert(GRAPH_INT8.to_owned(), graph);
    Ok(Some(section))
}
