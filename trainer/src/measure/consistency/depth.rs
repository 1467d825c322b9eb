//! Consistency of 8-bit radiographs with the same images stored in 16 bits.

use super::Scorer;
use crate::config::Data;
use crate::data::index::Index;
use crate::progress::Meter;
use anyhow::{Context, Result, ensure};
use cxr::DecodeLimits;
use cxr::phantom::encode_png;
use png::{BitDepth, ColorType, Compression, Encoder};
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::path::Path;
use tiff::encoder::{TiffEncoder, colortype};

/// Ways to store a grey level in 16 bits.
const DEEPENINGS: [(&str, fn(u8) -> u16); 4] = [
    ("x 257", |level| u16::from(level) * 257),
    ("<< 8", |level| u16::from(level) << 8),
    ("<< 4 (12 in 16 bits)", |level| u16::from(level) << 4),
    ("stretched to 12 bits", |level| (u32::from(level) * 4095 / 255) as u16),
];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DepthConsistency {
    pub n: usize,
    pub deepenings: Vec<String>,
    /// Files compared: each image, deepened in each way, as PNG and as TIFF.
    pub n_files: usize,
    pub largest_difference: f64,
    pub n_flipped: usize,
}

impl DepthConsistency {
    /// Compares each original as 8-bit PNG with its 16-bit files.
    pub fn measure(scorer: &mut Scorer, data: &Data, originals: &Path) -> Result<Self> {
        let entries = Index::scan_part(originals, data)?.entries;
        ensure!(!entries.is_empty(), "{}: contains no originals", originals.display());
        let meter = Meter::new("deep files", entries.len());
        let (mut n_files, mut largest_difference, mut n_flipped) = (0, 0.0_f64, 0);
        for entry in &entries {
            let bytes = std::fs::read(originals.join(&entry.path)).with_context(|| entry.path.clone())?;
            let image = cxr::decode(&bytes, &DecodeLimits::default())?;
            let size = (image.width(), image.height());
            let levels: Vec<u8> = image.samples().iter().map(|sample| *sample as u8).collect();
            let shallow = scorer.probability_of(&encode_png(&levels, size.0, size.1))?;
            for (_, deepen) in DEEPENINGS {
                let deep: Vec<u16> = levels.iter().map(|level| deepen(*level)).collect();
                for file in [png16(&deep, size)?, tiff16(&deep, size)?] {
                    let probability = scorer.probability_of(&file)?;
                    let flagged = |probability: f64| probability >= scorer.policy.threshold;
                    n_files += 1;
                    n_flipped += usize::from(flagged(probability) != flagged(shallow));
                    largest_difference = largest_difference.max((probability - shallow).abs());
                }
            }
            meter.advance(1, String::new);
        }
        let deepenings = DEEPENINGS.map(|(name, _)| name.to_owned()).to_vec();
        Ok(Self { n: entries.len(), deepenings, n_files, largest_difference, n_flipped })
    }
}

impl std::fmt::Display for DepthConsistency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { n, deepenings, n_files, largest_difference, n_flipped } = self;
        write!(
            f,
            "{n} originals as 8-bit PNG and as {n_files} 16-bit files ({}; PNG and TIFF): the probability differs by at most {largest_difference:.6}, {n_flipped} decisions differ",
            deepenings.join(", ")
        )
    }
}

fn png16(samples: &[u16], (width, height): (u32, u32)) -> Result<Vec<u8>> {
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_be_bytes()).collect();
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, width, height);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Sixteen);
    encoder.set_compression(Compression::Fast);
    encoder.write_header()?.write_image_data(&bytes)?;
    Ok(file)
}

fn tiff16(samples: &[u16], (width, height): (u32, u32)) -> Result<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    TiffEncoder::new(&mut file)?.write_image::<colortype::Gray16>(width, height, samples)?;
    Ok(file.into_inner())
}
