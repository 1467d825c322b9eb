//! Adds an int8 variant to a released bundle, or replaces it.

use super::revision::{Request, Revision};
use crate::bundle::verify::golden_pixels;
use crate::config::Config;
use crate::export::int8::HEADING;
use crate::export::int8::variant::{Fp32Model, GRAPH_INT8, Int8, Quantised, VARIANT_INT8};
use crate::export::section::with_section;
use crate::export::{VARIANT, card, golden, reference_json};
use anyhow::{Context, Result, bail};
use cxr::bundle::{Manifest, Variant};
use runtime::Runtime;

/// Writes the next minor version with an int8 variant. Otherwise only the card and the variant's
/// probabilities in the reference change.
pub fn quantise_bundle(config: &Config, request: &Request<'_>) -> Result<()> {
    let released = request.open(config)?;
    let bundle = &released.bundle;
    let (manifest, (_, fp32)) = (bundle.manifest(), bundle.variant(Some(VARIANT))?);
    let graph = bundle.file(&fp32.file).with_context(|| format!("{}: not in the bundle", fp32.file))?;
    let runtime = Runtime::load(request.onnxruntime)?;
    let model = Fp32Model {
        runtime: &runtime,
        config,
        contract: &manifest.model,
        graph,
        fp32: (fp32.calibration, fp32.policy.threshold),
        embedding: &bundle.reference().embedding,
        index: &released.index,
        folds: &released.folds,
        recipe: released.recipe(),
    };
    let Quantised { graph, mut session, variant, comparison, on_calibrate } = match model.quantise()? {
        Int8::Variant(quantised) => *quantised,
        Int8::LeftOut(why) => {
            bail!("{why}: nothing is written; try int8_weight_bits: 8 or more int8_images, or serve fp32")
        }
    };
    let golden = fp32.golden.iter().map(|golden| {
        let logit = session.run(&golden_pixels(bundle, golden)?, 1)?.logits[0];
        Ok(golden::of(golden.file.clone(), logit, golden::TOLERANCE_INT8))
    });
    let golden = golden.collect::<Result<_>>()?;
    let variant = Variant { golden, ..variant };
    let mut revision = Revision::of(bundle, request)?;
    revision.card = with_section(&revision.card, HEADING, &card::int8(&variant, &comparison)?);
    revision.files.insert(GRAPH_INT8.to_owned(), graph);
    let mut reference = bundle.reference().clone();
    reference.add_variant(VARIANT_INT8, &on_calibrate.probabilities, &on_calibrate.positive);
    if reference != *bundle.reference() {
        revision.files.insert(Manifest::REFERENCE.to_owned(), reference_json(&reference)?);
    }
    revision.manifest.variants.insert(VARIANT_INT8.to_owned(), variant);
    revision.install(&config.tracking, request)
}
