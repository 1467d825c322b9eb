//! The survey decodes every image of a data set once and keeps its properties, not its pixels.

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
use cxr::image::{ColourMode, Format};
use cxr::metadata::AcquisitionMetadata;
use cxr::statistics::ImageStatistics;
use cxr::{AcceptedImage, PreprocessSpec};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct Facts {
    pub width: u32,
    pub height: u32,
    pub format: Format,
    /// As stored: a JPEG with three equal channels counts as colour.
    pub colour: ColourMode,
    pub bits: u8,
    pub bytes: usize,
    /// At 224 x 224 pixels, without keeping the aspect ratio.
    pub statistics: ImageStatistics,
    pub artefacts: Artefacts,
    /// Selects candidates for near duplicates.
    pub hash: PerceptualHash,
    /// Confirms near duplicates.
    pub detail: Detail,
}

#[derive(Debug)]
pub struct Survey {
    /// In the order of the index; none for an image that cannot be used.
    pub facts: Vec<Option<Facts>>,
    /// Reason by path of images that cannot be used.
    pub unreadable: BTreeMap<String, String>,
}

/// An image that cannot be used is recorded and is not an error.
pub fn survey(index: &Index, config: &Config, what: &str) -> Result<Survey> {
    let meter = Meter::new(format!("examining {what}"), index.entries.len());
    // Independent of the model's preprocessing, so that results of two configurations can be compared.
    let recipe = Recipe { acceptance: config.acceptance, preprocess: PreprocessSpec::default() };
    let results = parallel(&index.entries, meter.bar(), |_, entry| examine(index, entry, &recipe))?;
    let mut unreadable = BTreeMap::new();
    let mut facts = Vec::with_capacity(results.len());
    for (result, entry) in results.into_iter().zip(&index.entries) {
        match result {
            Ok(image) => facts.push(Some(image)),
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
        artefacts: Artefacts::of(pixels, columns, &statistics),
        hash: PerceptualHash::of(pixels, columns).context("too small for a hash")?,
        detail: Detail::of(pixels, columns).context("too small for its detail")?,
    })
}
