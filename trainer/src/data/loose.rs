//! Images that are no fold of the dataset: decoded on the service's own way, one by one, and those that the service would
//! refuse are told apart with its reason.

use super::recipe::Recipe;
use anyhow::{Context, Result};
use cxr::image::ColourMode;
use cxr::metadata::AcquisitionMetadata;
use cxr::statistics::ImageStatistics;
use cxr::{AcceptedImage, DecodeLimits, Rejection};
use std::path::Path;

/// Images of a folder.
#[derive(Debug)]
pub struct Loose {
    /// Those that the service would score.
    pub images: Vec<LooseImage>,
    /// Those that it would refuse.
    pub refused: Vec<Refused>,
    /// Columns and rows of the model's input.
    pub size: (u32, u32),
}

/// One image at the model's size.
#[derive(Debug)]
pub struct LooseImage {
    /// Path below the folder, with forward slashes.
    pub path: String,
    /// Grey levels, row-major.
    pub pixels: Vec<u8>,
    /// Of the accepted image.
    pub statistics: ImageStatistics,
    /// Colour of the file.
    pub colour: ColourMode,
}

/// One image that the service would refuse.
#[derive(Debug)]
pub struct Refused {
    /// Path below the folder.
    pub path: String,
    /// The service's reason code.
    pub reason: &'static str,
}

impl Loose {
    /// Reads files below a folder.
    pub fn read(root: &Path, paths: &[String], recipe: &Recipe) -> Result<Self> {
        let size = (recipe.preprocess.width, recipe.preprocess.height);
        let mut loose = Self { images: Vec::new(), refused: Vec::new(), size };
        for path in paths {
            let file = root.join(path);
            let bytes =
                std::fs::read(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
            match prepare(path, &bytes, recipe) {
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

/// Every file below a folder that is not hidden, as sorted paths relative to it with forward slashes.
pub fn files_below(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let listing =
            std::fs::read_dir(&path).with_context(|| format!("{}: cannot be listed", path.display()))?;
        for item in listing {
            let item = item.with_context(|| format!("{}: cannot be listed", path.display()))?;
            let name = item.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let below = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if item.path().is_dir() { folders.push(below) } else { found.push(below) }
        }
    }
    found.sort();
    Ok(found)
}
