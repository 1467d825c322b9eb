//! The images that all contestants get: a fixed sample of real JPEG files, or phantoms if there are none.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use cxr::phantom::{PhantomSpec, generate};
use jpeg_encoder::ColorType;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};

const N_IMAGES: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Corpus {
    /// Files of the train fold of `kermany224`, 224 x 224.
    Kermany224,
    /// Files of `kermany_originals`, about 0.3 to 3 megapixels.
    Originals,
    /// Generated chest phantoms, 1024 x 832.
    Phantoms,
}

#[derive(Debug)]
pub(super) struct Images {
    pub(super) files: Vec<Bytes>,
    pub(super) description: String,
}

impl Images {
    /// Draws a sample. If the data are absent, it consists of phantoms, and the description says so.
    pub(super) fn take(corpus: Corpus, seed: u64) -> Result<Self> {
        let data =
            std::env::var_os("CXR_DATA_DIR").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
        let folder = match corpus {
            Corpus::Kermany224 => "kermany224/train",
            Corpus::Originals => "kermany_originals",
            Corpus::Phantoms => return Ok(phantoms("phantoms")),
        };
        if !data.join(folder).is_dir() {
            return Ok(phantoms(&format!("phantoms, because {folder} is not in CXR_DATA_DIR:")));
        }
        let mut paths = Vec::new();
        list(&data.join(folder), &mut paths)?;
        // Sorted before it is shuffled, because the order of a directory differs between hosts.
        paths.sort();
        paths.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        paths.truncate(N_IMAGES);
        let files = paths.iter().map(|path| read(path)).collect::<Result<Vec<Bytes>>>()?;
        ensure!(!files.is_empty(), "{folder}: holds no JPEG file");
        let description = format!("{} of {folder}, seed {seed}, {}", files.len(), sizes(&files));
        Ok(Self { files, description })
    }
}

fn read(path: &Path) -> Result<Bytes> {
    Ok(std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?.into())
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

fn phantoms(what: &str) -> Images {
    let (width, height) = (1024_u16, 832_u16);
    let file = |seed: u64| {
        let opacity = seed % 2 == 1;
        let pixels = generate(&PhantomSpec { seed, width: width.into(), height: height.into(), opacity });
        let mut file = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut file, 90);
        encoder.encode(&pixels, width, height, ColorType::Luma).map(|()| Bytes::from(file))
    };
    let files: Vec<Bytes> = (0..16).filter_map(|seed| file(seed).ok()).collect();
    let description = format!("{what} {} of {width} x {height}, {}", files.len(), sizes(&files));
    Images { files, description }
}

fn sizes(files: &[Bytes]) -> String {
    let bytes: usize = files.iter().map(Bytes::len).sum();
    format!("{:.1} kB each on average", bytes as f64 / files.len().max(1) as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::forms;
    use cxr::metadata::AcquisitionMetadata;
    use cxr::{AcceptancePolicy, AcceptedImage};

    #[test]
    fn phantoms_are_accepted_and_forms_hold_them_whole() {
        let images = Images::take(Corpus::Phantoms, 1).unwrap();
        assert_eq!(images.files.len(), 16);
        for file in &images.files {
            let image = cxr::decode(file, &cxr::DecodeLimits::default()).unwrap();
            let (metadata, policy) = (AcquisitionMetadata::default(), AcceptancePolicy::default());
            AcceptedImage::accept(image, metadata, &policy).unwrap();
        }
        let (forms, media_type) = forms(&images.files);
        let boundary = media_type.split_once("boundary=").unwrap().1.as_bytes();
        let at = forms[3].windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(&forms[3][at..at + images.files[3].len()], &images.files[3][..]);
        assert!(!images.files.iter().any(|file| file.windows(boundary.len()).any(|w| w == boundary)));
    }
}
