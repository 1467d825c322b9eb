//! Figures that the report draws itself: confusion matrices and the drift reference.

use crate::figures::{Along, Axes, Series, charts, span};
use anyhow::{Result, ensure};
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::reference::{Quantiles, Reference};
use std::fmt::Write as _;

const CELL: u64 = 150;
const MARGIN: u64 = 110;

pub(super) fn confusion(name: &str, m: &ConfusionMatrix) -> String {
    let rows = [[m.true_negatives, m.false_positives], [m.false_negatives, m.true_positives]];
    let side = MARGIN + 2 * CELL + 10;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{side}\" height=\"{side}\" font-family=\"sans-serif\" font-size=\"15\" \
         text-anchor=\"middle\"><rect width=\"{side}\" height=\"{side}\" fill=\"white\"/><text x=\"{}\" y=\"24\" font-size=\"17\">Confusion matrix, {name}</text>\
         <text x=\"{}\" y=\"48\" font-size=\"12\">rows: label; columns: call; %: share of the row</text>",
        side / 2,
        side / 2
    );
    // Writing to a String cannot fail.
    for (column, label) in ["called negative", "called positive"].iter().enumerate() {
        let x = MARGIN + CELL * column as u64 + CELL / 2;
        let _ = write!(svg, "<text x=\"{x}\" y=\"{}\">{label}</text>", MARGIN - 12);
    }
    for (row, label) in ["negative", "positive"].iter().enumerate() {
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

pub(super) fn reference(reference: &Reference) -> Result<String> {
    let probability = ("probability of the positive class".to_owned(), &reference.probability);
    let statistics = reference.statistics.iter().map(|(name, quantiles)| (title(name), quantiles));
    let panels: Vec<(String, &Quantiles)> = std::iter::once(probability).chain(statistics).collect();
    ensure!(panels.iter().all(|(_, quantiles)| !quantiles.0.is_empty()), "the reference is empty");
    let drawn: Vec<[Series; 1]> = panels
        .iter()
        .map(|(_, quantiles)| {
            let shares = (0..).map(|percent| f64::from(percent) / 100.0);
            [Series::line("", quantiles.0.iter().copied().zip(shares).collect())]
        })
        .collect();
    let charted: Vec<_> = panels
        .iter()
        .zip(&drawn)
        .map(|((name, quantiles), series)| {
            let axes = Axes { title: name, x: "", y: "share of images below", along: Along::Numbers };
            (axes, (span(quantiles.0.iter().copied()), 0.0..1.005), &series[..])
        })
        .collect();
    charts(&charted)
}

fn title(name: &str) -> String {
    match name {
        "mean" => "mean level".to_owned(),
        "standard_deviation" => "standard deviation of the level".to_owned(),
        "entropy_bits" => "entropy (bits)".to_owned(),
        "aspect_ratio" => "aspect ratio (width / height)".to_owned(),
        "p01" => "level of the 1st percentile".to_owned(),
        "p50" => "median level".to_owned(),
        "p99" => "level of the 99th percentile".to_owned(),
        _ => name.replace('_', " "),
    }
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
        for text in ["called negative", "positive", "30", "5", "15", "10", "75.0 %", "25.0 %"] {
            assert!(svg.contains(&format!(">{text}<")), "{text} in {svg}");
        }
        assert!(svg.contains("Confusion matrix, test"), "{svg}");
    }
}
