//! AUC by severity, one panel per corruption.

use super::corruptions::{CorruptionResult, CorruptionSuite};
use super::figures::Figures;
use crate::figures::tick;
use anyhow::Result;
use cxr::analysis::corrupt::{Corruption, MAX_SEVERITY};
use plotters::coord::Shift;
use plotters::prelude::*;

const COLUMNS: usize = 4;
const PANEL: (u32, u32) = (250, 210);
const HEAD: u32 = 34;

pub fn auc_by_severity(clean: &Figures, suite: &CorruptionSuite) -> Result<String> {
    let n_rows = Corruption::ALL.len().div_ceil(COLUMNS);
    let lowest = suite.results.iter().map(|r| r.figures.auc.ci95[0]).fold(clean.auc.ci95[0], f64::min);
    let mut text = String::new();
    {
        let size = (PANEL.0 * COLUMNS as u32, HEAD + PANEL.1 * n_rows as u32);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE)?;
        let (head, body) = root.split_vertically(HEAD);
        let title = "AUC by severity of the corruption (0: none). Vertical lines: 95 % intervals. Dashed: the clean images.";
        head.draw(&Text::new(title, (12, 12), ("sans-serif", 14).into_font()))?;
        let panels = body.split_evenly((n_rows, COLUMNS));
        for (panel, corruption) in panels.iter().zip(Corruption::ALL) {
            let results: Vec<&CorruptionResult> =
                suite.results.iter().filter(|result| result.corruption == corruption).collect();
            draw(panel, corruption, clean, &results, (lowest - 0.02).max(0.0))?;
        }
        root.present()?;
    }
    Ok(text)
}

fn draw(
    panel: &DrawingArea<SVGBackend, Shift>,
    corruption: Corruption,
    clean: &Figures,
    results: &[&CorruptionResult],
    low: f64,
) -> Result<()> {
    let last = f64::from(MAX_SEVERITY);
    let mut chart = ChartBuilder::on(panel)
        .margin(6)
        .caption(corruption.name().replace('_', " "), ("sans-serif", 14))
        .x_label_area_size(38)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..last + 0.2, low..1.0)?;
    let mut mesh = chart.configure_mesh();
    // One label per severity; more would not fit.
    mesh.x_labels(usize::from(MAX_SEVERITY) + 1).y_labels(4).light_line_style(TRANSPARENT);
    mesh.x_label_formatter(&|x| tick(*x)).y_label_formatter(&|y| tick(*y));
    mesh.x_desc("severity").y_desc("AUC").draw()?;
    let level = [(0.0, clean.auc.value), (last, clean.auc.value)];
    chart.draw_series(DashedLineSeries::new(level, 4, 4, BLACK.mix(0.5).stroke_width(1)))?;
    let points = results.iter().map(|r| (f64::from(r.severity), r.figures.auc.value));
    let curve = std::iter::once((0.0, clean.auc.value)).chain(points.clone());
    chart.draw_series(LineSeries::new(curve, BLUE.stroke_width(2)))?;
    chart.draw_series(results.iter().map(|r| {
        let [from, to] = r.figures.auc.ci95;
        let x = f64::from(r.severity);
        PathElement::new(vec![(x, from), (x, to)], BLUE.mix(0.6).stroke_width(1))
    }))?;
    chart.draw_series(points.map(|point| Circle::new(point, 3, BLUE.filled())))?;
    Ok(())
}
