//! The worst cases: pneumonias with the lowest and normal images with the highest probability, as a table and as a sheet of
//! small images with a caption each: kind, rank in the table, probability, E where it is an error.

use anyhow::Result;
use std::fmt::Write as _;

/// One image as the table and the sheet show it.
#[derive(Debug, Clone)]
pub struct Case<'a> {
    /// Path below the dataset.
    pub path: &'a str,
    /// The patient.
    pub patient: &'a str,
    /// Whether it is a pneumonia.
    pub positive: bool,
    /// Calibrated.
    pub probability: f64,
    /// Out-of-distribution score.
    pub ood_score: f64,
    /// Grey levels, row-major.
    pub pixels: &'a [u8],
}

/// Tiles in a row.
const COLUMNS: usize = 6;
/// Pixels of a glyph's dot.
const DOT: usize = 2;
const CAPTION: usize = 5 * DOT + 6;
const GAP: usize = 4;

/// The `n` worst of each class, the worst first: pneumonias, then normal images. Some are right nevertheless.
pub fn worst<'a>(cases: &[Case<'a>], n: usize) -> Vec<Case<'a>> {
    let of_class = |class: bool| {
        let mut members: Vec<Case<'a>> =
            cases.iter().filter(|case| case.positive == class).cloned().collect();
        members.sort_by(|a, b| {
            let order = a.probability.total_cmp(&b.probability);
            (if class { order } else { order.reverse() }).then_with(|| a.path.cmp(b.path))
        });
        members.truncate(n);
        members
    };
    [of_class(true), of_class(false)].concat()
}

/// The table.
///
/// # Errors
/// Never: writing to a text cannot fail.
pub fn csv(worst: &[Case], threshold: f64) -> Result<String> {
    let mut text = String::from("rank,class,error,probability,ood_score,patient,path\n");
    for (rank, case) in ranked(worst) {
        let class = if case.positive { "PNEUMONIA" } else { "NORMAL" };
        let error = u8::from(is_error(case, threshold));
        writeln!(
            text,
            "{rank},{class},{error},{:.6},{:.4},{},{}",
            case.probability, case.ood_score, case.patient, case.path
        )?;
    }
    Ok(text)
}

/// The sheet as PNG: tiles of half the size, pneumonias in the upper rows, normal images in the lower ones.
pub fn sheet(worst: &[Case], (width, height): (u32, u32), threshold: f64) -> Vec<u8> {
    let (tile_width, tile_height) = (width as usize / 2, height as usize / 2);
    let rows_of = |class: bool| worst.iter().filter(|case| case.positive == class).count().div_ceil(COLUMNS);
    let (cell_width, cell_height) = (tile_width + GAP, tile_height + CAPTION + GAP);
    let sheet_width = COLUMNS * cell_width + GAP;
    let sheet_height = (rows_of(true) + rows_of(false)).max(1) * cell_height + GAP;
    let mut canvas = Canvas { pixels: vec![255; sheet_width * sheet_height], width: sheet_width };
    for (rank, case) in ranked(worst) {
        let row = (rank - 1) / COLUMNS + if case.positive { 0 } else { rows_of(true) };
        let (left, top) = (GAP + (rank - 1) % COLUMNS * cell_width, GAP + row * cell_height);
        for y in 0..tile_height {
            for x in 0..tile_width {
                let level = |dx, dy| u32::from(case.pixels[(2 * y + dy) * width as usize + 2 * x + dx]);
                let mean = (level(0, 0) + level(1, 0) + level(0, 1) + level(1, 1)) / 4;
                canvas.set(left + x, top + CAPTION + y, mean as u8);
            }
        }
        let class = if case.positive { 'P' } else { 'N' };
        let error = if is_error(case, threshold) { " E" } else { "" };
        canvas.write(&format!("{class}{rank} {:.3}{error}", case.probability), left, top + 3, tile_width);
    }
    cxr::phantom::encode_png(&canvas.pixels, sheet_width as u32, sheet_height as u32)
}

/// Each case with its rank within its class, from 1.
fn ranked<'a, 'b>(worst: &'b [Case<'a>]) -> impl Iterator<Item = (usize, &'b Case<'a>)> {
    let n_positive = worst.iter().filter(|case| case.positive).count();
    worst.iter().enumerate().map(move |(i, case)| (if case.positive { i } else { i - n_positive } + 1, case))
}

fn is_error(case: &Case, threshold: f64) -> bool {
    (case.probability >= threshold) != case.positive
}

struct Canvas {
    pixels: Vec<u8>,
    width: usize,
}

impl Canvas {
    fn set(&mut self, x: usize, y: usize, level: u8) {
        if let Some(pixel) = self.pixels.get_mut(y * self.width + x) {
            *pixel = level;
        }
    }

    /// Black dots on what is there, as far as they fit.
    fn write(&mut self, text: &str, left: usize, top: usize, fits: usize) {
        for (position, letter) in text.chars().enumerate().take(fits / (4 * DOT)) {
            for (row, bits) in glyph(letter).into_iter().enumerate() {
                for column in (0..3).filter(|column| bits >> (2 - column) & 1 == 1) {
                    for (dx, dy) in (0..DOT).flat_map(|dx| (0..DOT).map(move |dy| (dx, dy))) {
                        let x = left + (position * 4 + column) * DOT + dx;
                        self.set(x, top + row * DOT + dy, 0);
                    }
                }
            }
        }
    }
}

/// Three dots by five, a row a number whose highest bit is the left dot.
const fn glyph(letter: char) -> [u8; 5] {
    match letter {
        '0' => [7, 5, 5, 5, 7],
        '1' => [2, 6, 2, 2, 7],
        '2' => [7, 1, 7, 4, 7],
        '3' => [7, 1, 7, 1, 7],
        '4' => [5, 5, 7, 1, 1],
        '5' => [7, 4, 7, 1, 7],
        '6' => [7, 4, 7, 5, 7],
        '7' => [7, 1, 2, 2, 2],
        '8' => [7, 5, 7, 5, 7],
        '9' => [7, 5, 7, 1, 7],
        '.' => [0, 0, 0, 0, 2],
        'P' => [7, 5, 7, 4, 4],
        'N' => [5, 7, 7, 7, 5],
        'E' => [7, 4, 7, 4, 7],
        _ => [0; 5],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_come_first_and_errors_are_told_from_right_answers() {
        let pixels = [128; 64 * 64];
        let case = |path, positive, probability| Case {
            path,
            patient: "a",
            positive,
            probability,
            ood_score: 1.0,
            pixels: &pixels,
        };
        let cases = [
            case("1", true, 0.9),
            case("2", true, 0.2),
            case("3", false, 0.7),
            case("4", false, 0.1),
            case("5", true, 0.6),
        ];
        let found = worst(&cases, 2);
        assert_eq!(found.iter().map(|case| case.path).collect::<Vec<_>>(), ["2", "5", "3", "4"]);
        let table = csv(&found, 0.5).unwrap();
        assert_eq!(table.lines().nth(1), Some("1,PNEUMONIA,1,0.200000,1.0000,a,2"));
        assert_eq!(table.lines().nth(4), Some("2,NORMAL,0,0.100000,1.0000,a,4"));
        let sheet = sheet(&found, (64, 64), 0.5);
        let image = cxr::decode(&sheet, &cxr::DecodeLimits::default()).unwrap();
        assert_eq!(image.width() as usize, COLUMNS * (32 + GAP) + GAP);
        assert!(image.samples().contains(&0) && image.samples().contains(&128), "captions and tiles");
    }
}
