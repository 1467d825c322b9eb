//! Images outside the data set: those the service would decode, and those it would reject.

use super::recipe::Recipe;
use crate::files;
use anyhow::Result;
use cxr::image::ColourMode;
use cxr::metadata::AcquisitionMetadata;
use cxr::statistics::ImageStatistics;
use cxr::{AcceptedImage, DecodeLimits, Rejection};
use std::path::Path;

#[derive(Debug)]
pub struct Loose {
    pub images: Vec<LooseImage>,
    pub refused: Vec<Refused>,
    /// Width and height of the model's input.
    pub size: (u32, u32),
}

#[derive(Debug)]
pub struct LooseImage {
    /// Relative to the folder, with forward slashes.
    pub path: String,
    /// Grey levels at the model's size, row-major.
    pub pixels: Vec<u8>,
    pub statistics: ImageStatistics,
    pub colour: ColourMode,
}

#[derive(Debug)]
pub struct Refused {
    pub path: String,
    /// The service's reason code.
    pub reason: &'static str,
}

impl Loose {
    pub fn read(root: &Path, paths: &[String], recipe: &Recipe) -> Result<Self> {
        let size = (recipe.preprocess.width, recipe.preprocess.height);
        let mut loose = Self { images: Vec::new(), refused: Vec::new(), size };
        for path in paths {
            match prepare(path, &files::read(&root.join(path))?, recipe) {
                Ok(image) => loose.images.push(image),
                Err(rejection) => {
                    loose.refused.push(Refused { path: path.clone(), reason: rejection.reason.code() });
                }
            }
        }
        Ok(loose)
    }
}

fn prepare(path: &str, bytes: &[u8], recipe: &Recipe) -> Result<LooseImage, Rejection> {
    let image = cxr::decode(bytes, &DecodeLimits::default())?;
    let colour = image.colour();
    let accepted = AcceptedImage::accept(image, AcquisitionMetadata::default(), &recipe.acceptance)?;
    let input = cxr::preprocess::preprocess(&accepted, &recipe.preprocess);
    Ok(LooseImage {
        path: path.to_owned(),
        pixels: input.pixels().to_vec(),
        statistics: *input.statistics(),
        colour,
    })
}
