//! Figures that no other command draws: confusion matrices and the drift reference.

use crate::figures::{Axes, Form, Series, charts};
use anyhow::{Context, Result};
use cxr::reference::{Quantiles, Reference};
use cxr::scoring::confusion::ConfusionMatrix;
use std::fmt::Write as _;

/// Side of a cell, in pixels.
const CELL: u64 = 130;
/// Room for labels on the left and above.
const MARGIN: u64 = 110;

/// Two by two cells, shaded by their share of the row.
pub(super) fn confusion(name: &str, m: &ConfusionMatrix) -> String {
    let rows = [[m.true_negatives, m.false_positives], [m.false_negatives, m.true_positives]];
    let side = MARGIN + 2 * CELL + 10;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{side}\" height=\"{side}\" font-family=\"sans-serif\" font-size=\"15\" \
         text-anchor=\"middle\"><rect width=\"{side}\" height=\"{side}\" fill=\"white\"/><text x=\"{}\" y=\"24\" font-size=\"17\">{name}</text>",
        side / 2
    );
    // Writing to a String cannot fail.
    for (column, label) in ["called normal", "called pneumonia"].iter().enumerate() {
        let x = MARGIN + CELL * column as u64 + CELL / 2;
        let _ = write!(svg, "<text x=\"{x}\" y=\"{}\">{label}</text>", MARGIN - 12);
    }
    for (row, label) in ["normal", "pneumonia"].iter().enumerate() {
        let y = MARGIN + CELL * row as u64;
        let _ = write!(svg, "<text x=\"{}\" y=\"{}\">{label}</text>", MARGIN / 2, y + CELL / 2);
        let total = rows[row].iter().sum::<u64>().max(1) as f64;
        for (column, count) in rows[row].iter().enumerate() {
            let (x, share) = (MARGIN + CELL * column as u64, *count as f64 / total);
            let colour = if share > 0.6 { "white" } else { "black" };
            let _ = write!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" fill=\"#0072b2\" fill-opacity=\"{:.3}\" stroke=\"#888\"/>\
                 <text x=\"{}\" y=\"{}\" fill=\"{colour}\" font-size=\"22\">{count}</text>\
                 <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{:.1} %</text>",
                share * 0.95,
                x + CELL / 2,
                y + CELL / 2,
                x + CELL / 2,
                y + CELL / 2 + 24,
                share * 100.0
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// What monitoring compares with: the distribution function of the probability and of every image statistic.
///
/// # Errors
/// When the reference is empty or drawing fails.
pub(super) fn reference(reference: &Reference) -> Result<String> {
    let series = |quantiles: &Quantiles| {
        let points = quantiles.0.iter().enumerate().map(|(percent, value)| (*value, percent as f64 / 100.0));
        [Series::new("", points.collect(), Form::Line)]
    };
    let range = |quantiles: &Quantiles| -> Result<std::ops::Range<f64>> {
        let (first, last) = quantiles.0.first().zip(quantiles.0.last()).context("an empty reference")?;
        Ok(*first..last.max(first + 1e-6))
    };
    let panels: Vec<(&str, &Quantiles)> = std::iter::once(("probability", &reference.probability))
        .chain(reference.statistics.iter().map(|(name, quantiles)| (name.as_str(), quantiles)))
        .take(4)
        .collect();
    let drawn = panels.iter().map(|(_, quantiles)| series(quantiles)).collect::<Vec<_>>();
    let charted = panels
        .iter()
        .zip(&drawn)
        .map(|((name, quantiles), series)| {
            let axes = Axes { title: name, x: name, y: "share of images below" };
            Ok((axes, (range(quantiles)?, 0.0..1.005), &series[..]))
        })
        .collect::<Result<Vec<_>>>()?;
    charts(&charted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confusion_matrix_shows_its_counts_and_shares_of_rows() {
        let matrix = ConfusionMatrix {
            true_positives: 30,
            false_positives: 5,
            true_negatives: 15,
            false_negatives: 10,
        };
        let svg = confusion("test", &matrix);
        for text in [">30<", ">5<", ">15<", ">10<", ">75.0 %<", ">25.0 %<"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
    }
}
