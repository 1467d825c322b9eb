//! Adds the int8 variant to the bundle of a run.

pub mod variant;

use super::contents::{BundleFiles, GRAPH};
use super::golden;
use crate::export::int8::variant::{Comparison, Fp32Model, GRAPH_INT8, Int8, Quantised, VARIANT_INT8};
use crate::measure::calibrate::Calibrated;
use crate::measure::evaluate::{ECE_NOTE, rows};
use crate::progress::say;
use crate::train::trained::TrainedRun;
use anyhow::{Context, Result};
use cxr::bundle::{Manifest, Variant};
use runtime::Runtime;

pub(crate) const HEADING: &str = "### int8 variant\n";

/// Adds the variant if the configuration asks for it and it is close enough to fp32. Returns the section of
/// the card, which states why a variant was left out; none if none was asked for.
pub(super) fn add(
    trained: &TrainedRun,
    calibrated: &Calibrated,
    runtime: &Runtime,
    manifest: &mut Manifest,
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
    let Quantised { graph, mut session, variant, comparison } = match model.quantise()? {
        Int8::Variant(quantised) => *quantised,
        Int8::LeftOut(why) => {
            say(format!("the variant int8 is left out of the bundle, which has only fp32: {why}"));
            return Ok(Some(format!("{HEADING}\nLeft out of this bundle: {why}.\n")));
        }
    };
    let golden = golden::golden(&mut session, super::input_size(config), golden::TOLERANCE_INT8, files)?;
    let variant = Variant { golden, ..variant };
    let section = section(&variant, &comparison);
    manifest.variants.insert(VARIANT_INT8.to_owned(), variant);
    files.insert(GRAPH_INT8.to_owned(), graph);
    Ok(Some(section))
}

pub(crate) fn section(variant: &Variant, comparison: &Comparison) -> String {
    let Comparison { n_ranges, weight_bits, n, n_flipped, mean_difference, figures } = comparison;
    let (calibration, policy) = (&variant.calibration, &variant.policy);
    let mut text = format!(
        "{HEADING}\n\
         The same network in 8-bit operations, for CPUs; {weight_bits}-bit weights, ranges from {n_ranges} images of the train fold. It has its\n\
         own calibration, operating point and golden outputs.\n\n\
         - Probability: sigmoid({:.4} x logit {:+.4}). Operating point: {:.4}, by the rule of fp32. Review band: {:.4} to {:.4}.\n  \
           Out of distribution: scores above {:.3}.\n\
         - Against fp32 on select: {n_flipped} of {n} decisions differ; the probability differs by {mean_difference:.4} on average.\n",
        calibration.scale,
        calibration.bias,
        policy.threshold,
        policy.review_band.low,
        policy.review_band.high,
        policy.ood_threshold
    );
    if let Some(scale) = &variant.heatmap {
        text += &format!("- Heatmaps: on a scale of its own, from {:.3} to {:.3}.\n", scale.low, scale.high);
    }
    if let Some(batch) = variant.fixed_batch {
        text += &format!("- Runs in batches of {batch} only: in other batches the last bits differ.\n");
    }
    let [low, high] = figures.ece.ci95;
    if !(low..=high).contains(&figures.ece.value) {
        text += &format!("- {ECE_NOTE}\n");
    }
    text.push_str("\n| int8 on select | value | 95 % interval | n |\n|---|---|---|---|\n");
    for (figure, measured) in rows(figures) {
        let [low, high] = measured.ci95;
        text += &format!("| {figure} | {:.4} | {low:.4} to {high:.4} | {} |\n", measured.value, measured.n);
    }
    text
}
