//! The images of the study: a folder's files, or phantoms, and the shifts that they are put through.

use anyhow::{Context, Result};
use cxr::analysis::corrupt::{Corruption, corrupt};
use cxr::phantom::{PhantomSpec, generate};
use std::path::{Path, PathBuf};

/// Side of the stored images.
const SIDE: u32 = 224;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shift {
    None,
    /// Decoded and stored again without loss: no change.
    Stored,
    Contrast,
    Border,
    Adults,
    Gamma,
    Letters,
    Jpeg,
}

impl Shift {
    pub(crate) const ALL: [Self; 8] = [
        Self::None,
        Self::Stored,
        Self::Contrast,
        Self::Border,
        Self::Adults,
        Self::Gamma,
        Self::Letters,
        Self::Jpeg,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Stored => "none, stored again without loss",
            Self::Contrast => "contrast x 0.8",
            Self::Border => "black border of 8 pixels",
            Self::Adults => "adults of NIH",
            Self::Gamma => "gamma 1.2",
            Self::Letters => "burned-in letter",
            Self::Jpeg => "JPEG quality 30",
        }
    }

    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Stored => "stored",
            Self::Contrast => "contrast",
            Self::Border => "border",
            Self::Adults => "adults",
            Self::Gamma => "gamma",
            Self::Letters => "letters",
            Self::Jpeg => "jpeg",
        }
    }
}

pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_positive: bool,
}

pub(crate) enum Source {
    Phantoms { n: usize },
    Folder { data: PathBuf, split: String, per_class: usize },
}

impl Source {
    pub(crate) fn open(data: Option<&Path>, split: &str, per_class: usize) -> Result<Self> {
        let Some(data) = data else { return Ok(Self::Phantoms { n: 2 * per_class }) };
        let folder = data.join("kermany224").join(split);
        anyhow::ensure!(folder.is_dir(), "{}: no such folder", folder.display());
        Ok(Self::Folder { data: data.to_owned(), split: split.to_owned(), per_class })
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Phantoms { .. } => "phantoms",
            Self::Folder { split, .. } => split,
        }
    }

    /// The images under a shift; empty for a data set that is not there.
    pub(crate) fn images(&self, shift: Shift) -> Result<Vec<Image>> {
        let mut images = match self {
            Self::Phantoms { .. } if shift == Shift::Adults => Vec::new(),
            Self::Phantoms { n } => (0..*n as u64).map(phantom).collect::<Result<Vec<_>>>()?,
            Self::Folder { data, .. } if shift == Shift::Adults => {
                folder(&data.join("nih_adult288"), usize::MAX)?
            }
            Self::Folder { data, split, per_class } => {
                folder(&data.join("kermany224").join(split), *per_class)?
            }
        };
        if !matches!(shift, Shift::None | Shift::Adults) {
            for (index, image) in images.iter_mut().enumerate() {
                image.bytes = shifted(&image.bytes, shift, index)?;
            }
        }
        Ok(images)
    }
}

fn phantom(seed: u64) -> Result<Image> {
    let opacity = seed % 8 < 5;
    let pixels = generate(&PhantomSpec { seed, width: SIDE, height: SIDE, opacity });
    Ok(Image { bytes: encode_jpeg(&pixels, (SIDE, SIDE), 75)?, is_positive: opacity })
}

/// Images of the folders NORMAL and PNEUMONIA: every so many, so that few images are still of many patients.
fn folder(folder: &Path, per_class: usize) -> Result<Vec<Image>> {
    let mut images = Vec::new();
    for (class, is_positive) in [("NORMAL", false), ("PNEUMONIA", true)] {
        let folder = folder.join(class);
        let entries = std::fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))?;
        let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        files.sort();
        let step = files.len().div_ceil(per_class).max(1);
        for file in files.iter().step_by(step) {
            let bytes = std::fs::read(file).with_context(|| format!("{}", file.display()))?;
            images.push(Image { bytes, is_positive });
        }
    }
    Ok(images)
}

pub(crate) fn shifted(bytes: &[u8], shift: Shift, index: usize) -> Result<Vec<u8>> {
    let image = cxr::decode(bytes, &cxr::DecodeLimits::default())
        .map_err(|rejection| anyhow::anyhow!("an image of the study is rejected: {rejection:?}"))?;
    let size = (image.width(), image.height());
    let mut pixels: Vec<u8> = image.samples().iter().map(|sample| *sample as u8).collect();
    match shift {
        Shift::None | Shift::Stored | Shift::Adults => {}
        Shift::Contrast => pixels = corrupt(&pixels, size, Corruption::Contrast, 1, 1, index),
        Shift::Border => {
            let (width, height) = (size.0 as usize, size.1 as usize);
            for (at, pixel) in pixels.iter_mut().enumerate() {
                let (x, y) = (at % width, at / width);
                if x < 8 || y < 8 || x >= width - 8 || y >= height - 8 {
                    *pixel = 0;
                }
            }
        }
        Shift::Gamma => {
            let to = |level: u8| (255.0 * (f64::from(level) / 255.0).powf(1.2)).round() as u8;
            for pixel in &mut pixels {
                *pixel = to(*pixel);
            }
        }
        Shift::Letters => pixels = corrupt(&pixels, size, Corruption::BurnedInText, 2, 1, index),
        Shift::Jpeg => return encode_jpeg(&pixels, size, 30),
    }
    encode_png(&pixels, size)
}

fn encode_jpeg(pixels: &[u8], (width, height): (u32, u32), quality: u8) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    encoder.encode(pixels, width as u16, height as u16, jpeg_encoder::ColorType::Luma)?;
    Ok(bytes)
}

fn encode_png(pixels: &[u8], (width, height): (u32, u32)) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(bytes)
}
