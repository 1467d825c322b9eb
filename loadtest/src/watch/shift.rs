//! Shifts of the traffic, applied to the pixels of each image before it is sent.

use super::page::State;
use anyhow::{Context, Result};
use cxr::phantom::{PhantomSpec, generate};
use cxr::{DecodeLimits, lettering};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Shift {
    /// Images as they are.
    None,
    /// A black frame of 8 pixels.
    Border,
    /// Contrast times 0.8 about the mean.
    Contrast,
    /// Gamma 1.2.
    Gamma,
    /// Two letters in a corner.
    Letters,
    /// JPEG of quality 30.
    Jpeg,
    /// Images of adults from another hospital; without the data, phantoms of another exposure.
    Adults,
}

impl Shift {
    pub(super) const ALL: [Self; 7] =
        [Self::None, Self::Border, Self::Contrast, Self::Gamma, Self::Letters, Self::Jpeg, Self::Adults];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Border => "border",
            Self::Contrast => "contrast",
            Self::Gamma => "gamma",
            Self::Letters => "letters",
            Self::Jpeg => "jpeg",
            Self::Adults => "adults",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shift| shift.name() == name)
    }

    fn apply(self, image: &mut Grey) {
        let Grey { width, height, pixels } = image;
        let (width, height) = (*width as usize, *height as usize);
        match self {
            Self::None | Self::Jpeg | Self::Adults => {}
            Self::Border => {
                const BORDER: usize = 8;
                for (at, pixel) in pixels.iter_mut().enumerate() {
                    let (x, y) = (at % width, at / width);
                    if x.min(width - 1 - x).min(y).min(height - 1 - y) < BORDER {
                        *pixel = 0;
                    }
                }
            }
            Self::Contrast => {
                let mean = pixels.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / pixels.len() as f64;
                map(pixels, |level| mean + 0.8 * (level - mean));
            }
            Self::Gamma => map(pixels, |level| 255.0 * (level / 255.0).powf(1.2)),
            Self::Letters => lettering::draw(pixels, image.width, (12, 12), "AP", 3, 255),
        }
    }
}

fn map(pixels: &mut [u8], level: impl Fn(f64) -> f64) {
    for pixel in pixels {
        *pixel = level(f64::from(*pixel)).round().clamp(0.0, 255.0) as u8;
    }
}

/// A grey image of 8 bits.
#[derive(Debug, Clone)]
struct Grey {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

/// The images of the traffic.
pub(super) struct Corpus {
    usual: Vec<Grey>,
    adults: Vec<Grey>,
}

const N_PHANTOMS: u64 = 200;
const N_FILES: usize = 1500;

impl Corpus {
    /// Real radiographs where `CXR_DATA_DIR` (default `../shared/data`) has them, else phantoms.
    pub(super) fn load(state: &State) -> Result<Self> {
        let data =
            std::env::var_os("CXR_DATA_DIR").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
        let folders = ["kermany224/train", "nih_adult288"].map(|folder| data.join(folder));
        if folders.iter().all(|folder| folder.is_dir()) {
            let [usual, adults] = folders.map(|folder| read_all(&folder));
            return Ok(Self { usual: usual?, adults: adults? });
        }
        state.set_phase("no data set: the traffic consists of phantoms".to_owned());
        let phantoms = |first: u64, dim: bool| {
            let seeds = first..first + N_PHANTOMS;
            let mut images: Vec<Grey> = seeds.map(phantom).collect();
            if dim {
                for image in &mut images {
                    map(&mut image.pixels, |level| 255.0 - 0.6 * (255.0 - level));
                }
            }
            images
        };
        Ok(Self { usual: phantoms(0, false), adults: phantoms(N_PHANTOMS, true) })
    }

    /// The file to send as the `n`-th request.
    pub(super) fn file(&self, n: usize, shift: Shift) -> Result<Vec<u8>> {
        let images = if shift == Shift::Adults { &self.adults } else { &self.usual };
        let mut image = images[n % images.len()].clone();
        shift.apply(&mut image);
        let Grey { width, height, pixels } = image;
        let mut file = Vec::new();
        let quality = if shift == Shift::Jpeg { 30 } else { 95 };
        let encoder = jpeg_encoder::Encoder::new(&mut file, quality);
        encoder.encode(&pixels, width as u16, height as u16, jpeg_encoder::ColorType::Luma)?;
        Ok(file)
    }
}

fn phantom(seed: u64) -> Grey {
    let (width, height) = (256, 224);
    Grey {
        width,
        height,
        pixels: generate(&PhantomSpec { seed, width, height, opacity: !seed.is_multiple_of(3) }),
    }
}

fn read_all(folder: &Path) -> Result<Vec<Grey>> {
    let mut paths = Vec::new();
    list(folder, &mut paths)?;
    // In an order that mixes the classes and is the same on every host.
    paths.sort_by_key(|path| path.file_name().map(|name| reversed(&name.to_string_lossy())));
    paths.truncate(N_FILES);
    paths.iter().map(|path| read(path)).collect()
}

fn reversed(name: &str) -> String {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).chars().rev().collect()
}

fn list(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder);
    for entry in entries.with_context(|| format!("{}: cannot be listed", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, into)?;
        } else if path.extension().is_some_and(|ending| ending == "jpeg" || ending == "jpg") {
            into.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Grey> {
    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let image = cxr::decode(&bytes, &DecodeLimits::default()).with_context(|| path.display().to_string())?;
    let pixels = image.samples().iter().map(|sample| *sample as u8).collect();
    Ok(Grey { width: image.width(), height: image.height(), pixels })
}
