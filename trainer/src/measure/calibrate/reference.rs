//! The reference of a bundle, measured on its calibrate fold.

use super::policy;
use crate::data::loose::Loose;
use crate::data::pixels::Pixels;
use crate::data::recipe::Recipe;
use crate::data::scan::files_below;
use crate::measure::sample::{CALIBRATION_BINS, patients};
use crate::progress::say;
use anyhow::{Context, Result};
use cxr::analysis::population::{Population, by_name};
use cxr::embedding::{EmbeddingPosition, EmbeddingReference};
use cxr::reference::{Originals, Reference, Rejections};
use cxr::statistics::ImageStatistics;
use std::collections::BTreeMap;
use std::path::Path;

/// What the default variant gave for the images of the fold.
pub(crate) struct FoldScores<'a> {
    pub(crate) pixels: &'a Pixels,
    /// Calibrated probabilities by variant.
    pub(crate) probabilities: BTreeMap<String, Vec<f64>>,
    pub(crate) default_variant: &'a str,
    pub(crate) embeddings: &'a [Vec<f32>],
}

/// `originals` are untouched files, of which the images of the fold may be copies.
pub(crate) fn reference_of_fold(
    fold: FoldScores,
    embedding: &EmbeddingReference,
    recipe: &Recipe,
    originals: Option<&Path>,
) -> Result<Reference> {
    let FoldScores { pixels, probabilities, default_variant, embeddings } = fold;
    let mut statistics = by_name(&pixels.statistics);
    let mut not_measured = BTreeMap::new();
    let mut of_originals = None;
    if recipe.preprocess.stored_jpeg_quality.is_some() {
        statistics.retain(|name, _| !ImageStatistics::OF_THE_FILE.contains(name));
        let found = originals.filter(|folder| folder.is_dir()).map(|folder| self::originals(folder, recipe));
        of_originals = found.transpose()?.flatten();
        let measured = of_originals.as_ref().map(|found| &found.statistics);
        for name in ImageStatistics::OF_THE_FILE {
            let why = match measured {
                Some(found) if found.contains_key(name) => {
                    "the images of the fold are copies that do not show it; see originals"
                }
                Some(_) => {
                    "the images of the fold are copies that do not show it; the same in every original"
                }
                None => {
                    "the images of the fold are copies that do not show it; trainer.export.originals names no originals"
                }
            };
            not_measured.insert(name.to_owned(), why.to_owned());
        }
    }
    let positions = embeddings.iter().map(|values| Ok(embedding.locate(values)?));
    let positions: Vec<EmbeddingPosition> = positions.collect::<Result<_>>()?;
    let population = Population {
        fold: policy::FOLD.name(),
        positive: &pixels.positive(),
        patients: &patients(pixels),
        probabilities,
        default_variant,
        positions: &positions,
        statistics,
        not_measured,
    };
    let mut reference =
        population.reference(embedding.clone(), CALIBRATION_BINS).context("no probabilities")?;
    reference.originals = of_originals;
    // `Pixels` refuses a fold with an image that acceptance rejects.
    reference.rejections = Some(Rejections { n: pixels.len(), by_reason: BTreeMap::new() });
    Ok(reference)
}

/// None if acceptance rejects all of them.
fn originals(folder: &Path, recipe: &Recipe) -> Result<Option<Originals>> {
    let loose = Loose::read(folder, &files_below(folder, "")?, recipe)?;
    let statistics: Vec<ImageStatistics> = loose.images.iter().map(|image| image.statistics).collect();
    say(format!("statistics of originals: {} images, {} rejected", statistics.len(), loose.refused.len()));
    Ok(Originals::of(&statistics))
}
