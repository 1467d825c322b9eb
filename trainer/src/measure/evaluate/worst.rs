//! The worst cases: positives with the lowest and negatives with the highest probability, as a table and as a
//! contact sheet on which errors are framed.

use crate::files;
use anyhow::Result;
use cxr::lettering;

#[derive(Debug, Clone)]
pub struct Case<'a> {
    /// Relative to the data set.
    pub path: &'a str,
    pub patient: &'a str,
    pub positive: bool,
    pub logit: f64,
    pub probability: f64,
    pub ood_score: f64,
    /// Grey levels, row-major.
    pub pixels: &'a [u8],
}

/// Tiles per row. All sizes below are in pixels.
const COLUMNS: usize = 6;
const GAP: usize = 4;
/// White between a tile and its frame, which would be invisible next to the black edge of a radiograph.
const WHITE: usize = 3;
const FRAME: usize = 3;
const SPACING: usize = 2 * (WHITE + FRAME) + GAP;
const LINE: usize = 7 + 2 * GAP;
const LETTER: usize = 6;

/// The `n` worst cases of each class, positives first, the worst of each class first. Not all need be errors.
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

pub fn csv(worst: &[Case], threshold: f64) -> Result<Vec<u8>> {
    let rows = ranked(worst).map(|(rank, case)| {
        [
            rank.to_string(),
            if case.positive { "PNEUMONIA" } else { "NORMAL" }.to_owned(),
            u8::from(is_error(case, threshold)).to_string(),
            format!("{:.6}", case.probability),
            format!("{:.4}", case.ood_score),
            case.patient.to_owned(),
            case.path.to_owned(),
        ]
    });
    files::csv(["rank", "class", "error", "probability", "ood_score", "patient", "path"], rows)
}

/// The contact sheet as PNG: a legend, then rows of positives and rows of negatives at half size.
pub fn sheet(worst: &[Case], (width, height): (u32, u32), threshold: f64) -> Vec<u8> {
    let (tile_width, tile_height) = (width as usize / 2, height as usize / 2);
    let rows_of = |class: bool| worst.iter().filter(|case| case.positive == class).count().div_ceil(COLUMNS);
    let (cell_width, cell_height) = (tile_width + SPACING, tile_height + LINE + SPACING);
    let sheet_width = COLUMNS * cell_width + SPACING;
    let legend = wrapped(&legend(threshold), sheet_width - 2 * GAP);
    let top_of_tiles = GAP + legend.len() * LINE;
    let sheet_height = top_of_tiles + (rows_of(true) + rows_of(false)).max(1) * cell_height + SPACING;
    let mut pixels = vec![255; sheet_width * sheet_height];
    let write = |pixels: &mut [u8], text: &str, (left, top): (usize, usize)| {
        lettering::draw(pixels, sheet_width as u32, (left as u32, (top + GAP) as u32), text, 1, 0);
    };
    for (number, line) in legend.iter().enumerate() {
        write(&mut pixels, line, (GAP, GAP + number * LINE));
    }
    for (rank, case) in ranked(worst) {
        let row = (rank - 1) / COLUMNS + if case.positive { 0 } else { rows_of(true) };
        let (left, top) = (SPACING + (rank - 1) % COLUMNS * cell_width, top_of_tiles + row * cell_height);
        let is_error = is_error(case, threshold);
        if is_error {
            for (margin, level) in [(WHITE + FRAME, 0), (WHITE, 255)] {
                let corner = (left - margin, top + LINE - margin);
                let size = (tile_width + 2 * margin, tile_height + 2 * margin);
                fill(&mut pixels, sheet_width, corner, size, level);
            }
        }
        for y in 0..tile_height {
            for x in 0..tile_width {
                let level = |dx, dy| u32::from(case.pixels[(2 * y + dy) * width as usize + 2 * x + dx]);
                let mean = (level(0, 0) + level(1, 0) + level(0, 1) + level(1, 1)) / 4;
                pixels[(top + LINE + y) * sheet_width + left + x] = mean as u8;
            }
        }
        let class = if case.positive { 'P' } else { 'N' };
        let mark = if is_error { " wrong" } else { "" };
        let mut caption = format!("{class}{rank} {:.3}{mark}", case.probability);
        caption.truncate(tile_width / LETTER);
        write(&mut pixels, &caption, (left, top - GAP));
    }
    cxr::phantom::encode_png(&pixels, sheet_width as u32, sheet_height as u32)
}

fn fill(
    pixels: &mut [u8],
    sheet_width: usize,
    (left, top): (usize, usize),
    (width, height): (usize, usize),
    level: u8,
) {
    for row in pixels.chunks_exact_mut(sheet_width).skip(top).take(height) {
        row[left..left + width].fill(level);
    }
}

fn legend(threshold: f64) -> String {
    format!(
        "P = positive, N = negative, then the rank within the class: 1 is the worst. 0.123 = calibrated probability of the \
         positive class. Framed, wrong = on the wrong side of the operating point {threshold:.4}. All others are right."
    )
}

/// Wraps text at words to lines of at most `width` pixels.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if (line.len() + 1 + word.len()) * LETTER <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Each case with its rank within its class, counted from 1.
fn ranked<'a, 'b>(worst: &'b [Case<'a>]) -> impl Iterator<Item = (usize, &'b Case<'a>)> {
    let n_positive = worst.iter().filter(|case| case.positive).count();
    worst.iter().enumerate().map(move |(i, case)| (if case.positive { i } else { i - n_positive } + 1, case))
}

fn is_error(case: &Case, threshold: f64) -> bool {
    (case.probability >= threshold) != case.positive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_come_first_and_errors_are_marked() {
        let pixels = [128; 64 * 64];
        let case = |path, positive, probability| Case {
            path,
            patient: "a",
            positive,
            logit: 0.0,
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
        let table = String::from_utf8(csv(&found, 0.5).unwrap()).unwrap();
        assert_eq!(table.lines().nth(1), Some("1,PNEUMONIA,1,0.200000,1.0000,a,2"));
        assert_eq!(table.lines().nth(4), Some("2,NORMAL,0,0.100000,1.0000,a,4"));
        let sheet = sheet(&found, (64, 64), 0.5);
        let image = cxr::decode(&sheet, &cxr::DecodeLimits::default()).unwrap();
        assert_eq!(image.width() as usize, COLUMNS * (32 + SPACING) + SPACING);
        assert!(image.samples().contains(&0) && image.samples().contains(&128), "captions and tiles");
        let text = legend(0.5);
        let lines = wrapped(&text, 200);
        assert!(lines.len() > 3 && lines.iter().all(|line| line.len() * LETTER <= 200), "{lines:?}");
        assert_eq!(lines.join(" "), text, "the legend is complete");
    }
}
