//! Contact sheets: grey images with labels in one PNG.

use cxr::lettering;

/// Side of an image, in pixels.
pub const TILE: u32 = 224;
const GAP: u32 = 6;
const LINE: u32 = 11;
const LABEL: u32 = 2 * LINE + 2;
const LETTERS: usize = TILE as usize / 6;

#[derive(Debug, Clone)]
pub struct Tile {
    /// `TILE` x `TILE` grey levels, row-major.
    pub pixels: Vec<u8>,
    pub label: [String; 2],
}

/// Tiles row by row on white, at most `columns` per row; none without tiles.
pub fn png(tiles: &[Tile], columns: u32) -> Option<Vec<u8>> {
    let columns = columns.min(tiles.len() as u32);
    if columns == 0 {
        return None;
    }
    let rows = (tiles.len() as u32).div_ceil(columns);
    let (width, height) = (columns * (TILE + GAP) + GAP, rows * (TILE + LABEL + GAP) + GAP);
    let mut sheet = vec![255; (width * height) as usize];
    for (tile, position) in tiles.iter().zip(0u32..) {
        let left = GAP + position % columns * (TILE + GAP);
        let top = GAP + position / columns * (TILE + LABEL + GAP);
        for (row, y) in tile.pixels.chunks_exact(TILE as usize).zip(top..) {
            let start = (y * width + left) as usize;
            sheet[start..start + TILE as usize].copy_from_slice(row);
        }
        for (line, text) in (0..).zip(&tile.label) {
            let fits: String = text.chars().take(LETTERS).collect();
            lettering::draw(&mut sheet, width, (left, top + TILE + 4 + line * LINE), &fits, 1, 0);
        }
    }
    Some(cxr::phantom::encode_png(&sheet, width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_stands_above_its_label() {
        let tile = |name: &str| Tile {
            pixels: vec![128; (TILE * TILE) as usize],
            label: ["1. positive".to_owned(), name.to_owned()],
        };
        let png = png(&[tile("a.png"), tile(&"l".repeat(99))], 6).unwrap();
        let image = cxr::decode(&png, &cxr::DecodeLimits::default()).unwrap();
        assert_eq!((image.width(), image.height()), (2 * (TILE + GAP) + GAP, TILE + LABEL + 2 * GAP));
        assert!(image.samples().contains(&0) && image.samples().contains(&128), "labels and tiles");
        assert!(super::png(&[], 6).is_none());
    }
}
