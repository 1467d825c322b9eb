//! Pictures and a contact sheet of the most confident images of each cell of the confusion matrix.

use super::maps::{ConfusionCell, Maps};
use crate::measure::heatmap::{MapFigures, Peak};
use crate::progress::say;
use crate::train::trained::TrainedRun;
use anyhow::Result;
use cxr::heatmap::{ColourScale, Evidence};
use cxr::{heatmap, lettering};
use png::{BitDepth, ColorType, Encoder};
use serde::{Deserialize, Serialize};

const N: usize = 4;
/// Size of the lettering. All sizes below are in pixels.
const SCALE: u32 = 2;
const LINE: u32 = 9 * SCALE;
const CAPTION: u32 = 2 * LINE + 6 * SCALE;
const GAP: u32 = 12;
const LEGEND: [&str; 4] = [
    "Left: the image. Right: the same image under its map of evidence for the positive class,",
    "from violet (weak) to yellow (strong). Without colour, the evidence is below the scale.",
    "p: calibrated probability of the positive class. Each row: one outcome, most confident first.",
    "The map does not localise disease.",
];
pub const CONTACT_SHEET: &str = "explain-contact-sheet.png";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlay {
    /// In the run directory's folder `figures`: the image, and beside it the image under its map.
    pub file: String,
    pub image: String,
    pub outcome: ConfusionCell,
    pub probability: f64,
}

struct Picture {
    width: u32,
    pixels: Vec<u8>,
}

pub(super) fn draw(trained: &TrainedRun, maps: &Maps) -> Result<Vec<Overlay>> {
    let (size, scale) = (maps.pixels.size, scale(maps));
    let tile = (2 * size.0, size.1 + CAPTION);
    let mut rows: Vec<_> = ConfusionCell::ALL.map(|cell| (cell, most_confident(maps, cell))).into();
    rows.retain(|(_, images)| !images.is_empty());
    let columns = rows.iter().map(|(_, images)| images.len()).max().unwrap_or(1) as u32;
    let top = GAP + LEGEND.len() as u32 * LINE + GAP;
    let widest = LEGEND.iter().map(|line| lettering::size(line, SCALE).0).max().unwrap_or(0);
    let sheet_width = (GAP + (tile.0 + GAP) * columns).max(widest + 2 * GAP);
    let mut sheet = Picture::new((sheet_width, top + (tile.1 + GAP) * rows.len() as u32));
    for (line, text) in (0..).zip(LEGEND) {
        sheet.write((GAP, GAP + line * LINE), text);
    }
    let mut overlays = Vec::new();
    for (row, (outcome, images)) in (0..).zip(rows) {
        for (column, image) in (0..).zip(images) {
            let picture = tile_of(maps, image, tile, scale);
            let file = format!("explain-{}-{}.png", outcome.name(), column + 1);
            trained.run.write_figure(&file, picture.encode()?)?;
            sheet.paste(&picture, (GAP + column * (tile.0 + GAP), top + row * (tile.1 + GAP)));
            overlays.push(Overlay {
                file,
                image: maps.pixels.entries[image].path.clone(),
                outcome,
                probability: maps.probabilities[image],
            });
        }
    }
    trained.run.write_figure(CONTACT_SHEET, sheet.encode()?)?;
    say(format!("{} overlays and figures/{CONTACT_SHEET}", overlays.len()));
    Ok(overlays)
}

fn most_confident(maps: &Maps, cell: ConfusionCell) -> Vec<usize> {
    let mut images: Vec<usize> = (0..maps.cells.len()).filter(|image| maps.cells[*image] == cell).collect();
    images.sort_by(|a, b| {
        let rising = maps.probabilities[*a].total_cmp(&maps.probabilities[*b]);
        if cell.is_flagged() { rising.reverse() } else { rising }
    });
    images.truncate(N);
    images
}

/// The scale of the bundle's heatmaps, or else from 0 to the fold's maximum.
fn scale(maps: &Maps) -> ColourScale {
    let peaks: Vec<Peak> = maps
        .maps
        .iter()
        .zip(maps.positive.iter().zip(&maps.cells))
        .map(|(map, (positive, cell))| Peak::of(map, maps.map_size, *positive, cell.is_flagged()))
        .collect();
    let strongest = peaks.iter().map(|peak| peak.value).fold(f32::MIN_POSITIVE, f32::max);
    let found = MapFigures::of(&peaks).scale;
    found.map_or(ColourScale { low: 0.0, high: strongest }, |scale| scale.ends())
}

fn tile_of(maps: &Maps, image: usize, size: (u32, u32), scale: ColourScale) -> Picture {
    let (pixels, input) = (maps.pixels.image(image), maps.pixels.size);
    let grey = Picture { width: input.0, pixels: pixels.iter().flat_map(|level| [*level; 3]).collect() };
    let evidence = Evidence {
        cam: &maps.maps[image],
        cam_size: maps.map_size,
        scale,
        // `blend` does not write text.
        class: "",
    };
    let blended = heatmap::blend(pixels, input, &evidence);
    let mut tile = Picture::new(size);
    tile.paste(&grey, (0, 0));
    tile.paste(&Picture { width: input.0, pixels: blended }, (input.0, 0));
    let path = &maps.pixels.entries[image].path;
    let name = path.rsplit('/').next().unwrap_or(path);
    let text = format!("{}, p {:.3}", maps.cells[image].name().replace('-', " "), maps.probabilities[image]);
    tile.write((SCALE, input.1 + 2 * SCALE), name);
    tile.write((SCALE, input.1 + 2 * SCALE + LINE), &text);
    tile
}

impl Picture {
    fn new((width, height): (u32, u32)) -> Self {
        Self { width, pixels: vec![u8::MAX; 3 * width as usize * height as usize] }
    }

    fn paste(&mut self, other: &Self, (left, top): (u32, u32)) {
        let (row_length, start) = (3 * self.width as usize, 3 * left as usize);
        let rows = other.pixels.chunks_exact(3 * other.width as usize);
        for (target, source) in self.pixels.chunks_exact_mut(row_length).skip(top as usize).zip(rows) {
            target[start..start + source.len()].copy_from_slice(source);
        }
    }

    fn write(&mut self, at: (u32, u32), text: &str) {
        let mut grey = vec![u8::MAX; self.pixels.len() / 3];
        lettering::draw(&mut grey, self.width, at, text, SCALE, 0);
        for (pixel, level) in self.pixels.chunks_exact_mut(3).zip(grey).filter(|(_, level)| *level == 0) {
            pixel.fill(level);
        }
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        let height = self.pixels.len() as u32 / (3 * self.width);
        let mut encoder = Encoder::new(&mut file, self.width, height);
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        encoder.write_header()?.write_image_data(&self.pixels)?;
        Ok(file)
    }
}
