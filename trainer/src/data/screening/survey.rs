//! The survey: every image of a dataset decoded once, in parallel, and what is learnt from it. Pixels are not kept.

use crate::config::Config;
use crate::data::entry::Entry;
use crate::data::index::Index;
use crate::data::parallel::parallel;
use crate::data::readable::{decode, read};
use crate::data::recipe::Recipe;
use crate::progress::Meter;
use anyhow::{Context, Result};
use cxr::analysis::artefact::Artefacts;
use cxr::analysis::duplicate::{Detail, PerceptualHash};
use cxr::analysis::texture::Texture;
use cxr::image::{ColourMode, Format};
use cxr::metadata::AcquisitionMetadata;
use cxr::statistics::ImageStatistics;
use cxr::{AcceptedImage, PreprocessSpec};
use std::collections::BTreeMap;

/// What one image is.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Container.
    pub format: Format,
    /// Colour as stored; a JPEG of three equal channels counts as colour.
    pub colour: ColourMode,
    /// Bits that carry information.
    pub bits: u8,
    /// Size of the file.
    pub bytes: usize,
    /// Intensities.
    pub statistics: ImageStatistics,
    /// Edges and texture at 224 x 224, squashed.
    pub texture: Texture,
    /// Screens.
    pub artefacts: Artefacts,
    /// Finds candidates for near duplicates.
    pub hash: PerceptualHash,
    /// Decides on them.
    pub detail: Detail,
}

/// What all images are.
#[derive(Debug)]
pub struct Survey {
    /// In the index's order; none for an image that cannot be used.
    pub facts: Vec<Option<Facts>>,
    /// Images that cannot be used, with the reason.
    pub unreadable: BTreeMap<String, String>,
}

/// Examines every image. What cannot be used is listed, not fatal.
pub fn survey(index: &Index, config: &Config, what: &str) -> Result<Survey> {
    let meter = Meter::new(format!("examining {what}"), index.entries.len());
    // One size and no contrast enhancement, whatever the model takes: figures of two configurations compare.
    let recipe = Recipe { acceptance: config.acceptance, preprocess: PreprocessSpec::default() };
    let results = parallel(&index.entries, &meter, |entry| examine(index, entry, &recipe))?;
    let mut unreadable = BTreeMap::new();
    let mut facts = Vec::with_capacity(results.len());
    for (result, entry) in results.into_iter().zip(&index.entries) {
        match result {
            Ok(of_image) => facts.push(Some(of_image)),
            Err(error) => {
                unreadable.insert(entry.path.clone(), format!("{error:#}"));
                facts.push(None);
            }
        }
    }
    Ok(Survey { facts, unreadable })
}

fn examine(index: &Index, entry: &Entry, recipe: &Recipe) -> Result<Facts> {
    let bytes = read(index, entry)?;
    let image = decode(&bytes)?;
    let (width, height) = (image.width(), image.height());
    let (format, colour, bits) = (image.format(), image.colour(), image.significant_bits());
    let accepted = AcceptedImage::accept(image, AcquisitionMetadata::default(), &recipe.acceptance)?;
    let input = cxr::preprocess::preprocess(&accepted, &recipe.preprocess);
    let (pixels, columns) = (input.pixels(), input.width() as usize);
    let statistics = *input.statistics();
    Ok(Facts {
        width,
        height,
        format,
        colour,
        bits,
        bytes: bytes.len(),
        statistics,
        texture: Texture::of(pixels, columns).context("too small for a texture")?,
        artefacts: Artefacts::of(pixels, columns, &statistics),
        hash: PerceptualHash::of(pixels, columns).context("too small for a hash")?,
        detail: Detail::of(pixels, columns).context("too small for its detail")?,
    })
}
