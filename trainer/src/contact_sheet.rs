//! Contact sheets: many grey images on one, as PNG.

/// Columns and rows of a tile.
pub const TILE: u32 = 224;
const GAP: u32 = 6;

/// Tiles of `TILE` x `TILE` pixels row by row on white, `columns` a row. None for no tiles.
pub fn png(tiles: &[Vec<u8>], columns: u32) -> Option<Vec<u8>> {
    let columns = columns.min(tiles.len() as u32);
    if columns == 0 {
        return None;
    }
    let rows = (tiles.len() as u32).div_ceil(columns);
    let (width, height) = (columns * (TILE + GAP) + GAP, rows * (TILE + GAP) + GAP);
    let mut sheet = vec![255; (width * height) as usize];
    for (tile, position) in tiles.iter().zip(0u32..) {
        let (left, top) = (GAP + position % columns * (TILE + GAP), GAP + position / columns * (TILE + GAP));
        for (row, y) in tile.chunks_exact(TILE as usize).zip(top..) {
            let start = (y * width + left) as usize;
            sheet[start..start + TILE as usize].copy_from_slice(row);
        }
    }
    Some(cxr::phantom::encode_png(&sheet, width, height))
}
