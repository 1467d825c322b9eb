//! Adds the measurements that older bundles lack: heatmap scale, referred images, deep files, and a
//! reference of version 2.

use super::revision::{Request, Revision};
use crate::bundle::{self, Released};
use crate::config::Config;
use crate::data::folds::Fold;
use crate::data::pixels::Pixels;
use crate::export::card::{DEPTH, decision, depth_section, intended_use};
use crate::export::section::with_section;
use crate::export::{VARIANT, reference_json};
use crate::measure::calibrate::{FoldScores, probabilities, reference_of_fold};
use crate::measure::consistency::Scorer;
use crate::measure::consistency::depth::DepthConsistency;
use crate::measure::heatmap;
use crate::measure::on_select::{self, OnSelect, REFERRED};
use crate::progress::say;
use crate::train::score::score_graph;
use anyhow::{Context, Result};
use cxr::bundle::{Bundle, Manifest};
use cxr::reference::Reference;
use std::collections::BTreeMap;
use std::path::Path;

/// Writes the bundle's next minor version: a heatmap scale for each variant in the manifest, the reference of
/// the calibrate fold, the measurements in the card. Graphs, calibration, policy, golden outputs and the
/// distribution of embeddings stay the same.
pub fn complete_bundle(config: &Config, request: &Request<'_>) -> Result<()> {
    let released = request.open(config)?;
    let (bundle, old) = (&released.bundle, released.bundle.manifest());
    let pixels = released.pixels(Fold::Select, &released.recipe())?;
    let mut revision = Revision::of(bundle, request)?;
    let reference = reference(config, &released, request.onnxruntime)?;
    revision.files.insert(Manifest::REFERENCE.to_owned(), reference_json(&reference)?);
    let mut of_default = None;
    for name in old.variants.keys() {
        let found = measure_on_select(bundle, name, &pixels, request.onnxruntime)?;
        if let Some(variant) = revision.manifest.variants.get_mut(name) {
            variant.heatmap = found.maps.scale.clone().ok();
        }
        if *name == old.default_variant {
            of_default = Some(found);
        }
    }
    let found = of_default.context("the bundle lacks its default variant")?;
    let depth = depth(config, bundle, request.onnxruntime)?;
    revision.card = updated_card(&revision.card, &revision.manifest, &found, depth.as_ref())?;
    revision.install(&config.tracking, request)
}

/// Measured through the graphs, on the fold that the bundle was calibrated on.
fn reference(config: &Config, released: &Released<'_>, onnxruntime: &Path) -> Result<Reference> {
    let (bundle, recipe) = (&released.bundle, released.recipe());
    let pixels = released.pixels(Fold::Calibrate, &recipe)?;
    let default_variant = &bundle.manifest().default_variant;
    let (mut by_variant, mut embeddings) = (BTreeMap::new(), Vec::new());
    for (name, variant) in &bundle.manifest().variants {
        let mut session = bundle::session(bundle, variant, onnxruntime)?;
        let scores = score_graph(&mut session, &pixels, &format!("calibrate, {name}"))?;
        by_variant.insert(name.clone(), probabilities(variant.calibration, &scores.logits));
        if name == default_variant {
            embeddings = scores.embeddings;
        }
    }
    let fold =
        FoldScores { pixels: &pixels, probabilities: by_variant, default_variant, embeddings: &embeddings };
    let originals = config.export.originals.as_deref();
    reference_of_fold(fold, &bundle.reference().embedding, &recipe, originals)
}

fn measure_on_select(bundle: &Bundle, name: &str, pixels: &Pixels, onnxruntime: &Path) -> Result<OnSelect> {
    let (_, variant) = bundle.variant(Some(name))?;
    say(format!("variant {name}"));
    let mut session = bundle::session(bundle, variant, onnxruntime)?;
    let embedding = &bundle.reference().embedding;
    on_select::measure(&mut session, pixels, variant.calibration, &variant.policy, embedding)
}

fn depth(config: &Config, bundle: &Bundle, onnxruntime: &Path) -> Result<Option<DepthConsistency>> {
    let Some(originals) = config.export.originals.as_ref().filter(|folder| folder.is_dir()) else {
        say("deep files: not measured, trainer.export.originals is not a folder");
        return Ok(None);
    };
    let (_, variant) = bundle.variant(None)?;
    let mut session = bundle::session(bundle, variant, onnxruntime)?;
    let mut scorer = Scorer::of_bundle(bundle, variant, &mut session);
    let found = DepthConsistency::measure(&mut scorer, &config.data, originals)?;
    say(found.to_string());
    Ok(Some(found))
}

/// Replaces the sections that follow from the manifest and the measurements. The others follow from the run,
/// which is not at hand.
fn updated_card(
    card: &str,
    manifest: &Manifest,
    found: &OnSelect,
    depth: Option<&DepthConsistency>,
) -> Result<String> {
    let mut sections = vec![
        ("## Intended use\n", intended_use(manifest)?),
        (DEPTH, depth_section(depth)),
        (heatmap::HEADING, found.maps.section()),
        (REFERRED, found.referred_section()),
    ];
    if let Some(variant) = manifest.variants.get(VARIANT) {
        sections.push(("### Decision\n", decision(variant)?));
    }
    Ok(sections
        .iter()
        .fold(card.to_owned(), |card, (heading, section)| with_section(&card, heading, section)))
}
