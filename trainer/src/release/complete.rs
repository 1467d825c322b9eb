//! Adds to a released bundle the measurements that older ones lack: heatmap scale, referred images, deep
//! files.

use super::revision::{Request, Revision};
use crate::bundle;
use crate::config::Config;
use crate::data::folds::Fold;
use crate::data::pixels::Pixels;
use crate::export::section::with_section;
use crate::export::{VARIANT, card};
use crate::measure::consistency::Scorer;
use crate::measure::consistency::depth::DepthConsistency;
use crate::measure::heatmap;
use crate::measure::select::{self, OnSelect, REFERRED};
use crate::progress::say;
use anyhow::{Context, Result};
use cxr::bundle::{Bundle, Manifest};
use std::path::Path;

/// Writes the bundle's next minor version. Graphs, calibration, policy and golden outputs stay as they are; the manifest gets a
/// scale for each variant, and the card what was measured.
///
/// # Errors
/// When the data does not give the folds that the bundle was made with, its version is taken by other answers, `verify` refuses it, and as
/// ONNX Runtime or a file fails.
pub fn complete_bundle(config: &Config, request: &Request<'_>) -> Result<()> {
    let released = request.open(config)?;
    let (bundle, old) = (&released.bundle, released.bundle.manifest());
    let pixels = released.pixels(Fold::Select, &released.recipe())?;
    let mut revision = Revision::of(bundle, request)?;
    let mut of_default = None;
    for name in old.variants.keys() {
        let found = on_select(bundle, name, &pixels, request.onnxruntime)?;
        if let Some(variant) = revision.manifest.variants.get_mut(name) {
            variant.heatmap = found.maps.scale.clone().ok();
        }
        if *name == old.default_variant {
            of_default = Some(found);
        }
    }
    let found = of_default.context("the bundle lacks its default variant")?;
    let depth = depth(config, bundle, request.onnxruntime)?;
    revision.card = completed(&revision.card, &revision.manifest, &found, depth.as_ref())?;
    revision.deliver(&config.tracking, request).map(drop)
}

fn on_select(bundle: &Bundle, name: &str, pixels: &Pixels, onnxruntime: &Path) -> Result<OnSelect> {
    let (_, variant) = bundle.variant(Some(name))?;
    say(format!("variant {name}"));
    let mut session = bundle::session(bundle, variant, onnxruntime)?;
    let embedding = &bundle.reference().embedding;
    select::measure(&mut session, pixels, variant.calibration, &variant.policy, embedding)
}

/// Deep files of the originals, where there are some.
fn depth(config: &Config, bundle: &Bundle, onnxruntime: &Path) -> Result<Option<DepthConsistency>> {
    let Some(originals) = config.export.originals.as_ref().filter(|folder| folder.is_dir()) else {
        say("deep files: not measured, trainer.export.originals names no folder");
        return Ok(None);
    };
    let (_, variant) = bundle.variant(None)?;
    let mut session = bundle::session(bundle, variant, onnxruntime)?;
    let mut scorer = Scorer::of_bundle(bundle, variant, &mut session);
    let found = DepthConsistency::measure(&mut scorer, &config.data, originals)?;
    say(found.to_string());
    Ok(Some(found))
}

/// The card with what the manifest says now and what was measured; all else of it stays, for it follows from the run, which is not
/// here.
fn completed(
    text: &str,
    manifest: &Manifest,
    found: &OnSelect,
    depth: Option<&DepthConsistency>,
) -> Result<String> {
    let mut sections = vec![
        ("## Intended use\n", card::intended_use(manifest)?),
        (card::DEPTH, card::depth_section(depth)),
        (heatmap::HEADING, found.maps.section()),
        (REFERRED, found.referred_section()),
    ];
    if let Some(variant) = manifest.variants.get(VARIANT) {
        sections.push(("### Decision\n", card::decision(variant)?));
    }
    let completed = sections
        .iter()
        .fold(text.to_owned(), |text, (heading, section)| with_section(&text, heading, section));
    Ok(completed)
}
