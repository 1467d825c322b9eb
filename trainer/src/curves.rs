//! Metrics per epoch as a table and as curves.

use crate::checkpoint::EpochMetrics;
use anyhow::{Context, Result};
use plotters::prelude::*;
use std::fmt::Write as _;

/// The history as CSV.
pub fn csv(history: &[EpochMetrics]) -> String {
    let mut text =
        String::from("epoch,step,train_loss,select_loss,select_auc,learning_rate,images_per_second\n");
    for e in history {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{},{},{:.6},{:.6},{:.6},{:.3e},{:.2}",
            e.epoch, e.step, e.train_loss, e.select_loss, e.select_auc, e.learning_rate, e.images_per_second
        );
    }
    text
}

/// Losses on the left, area under the curve on the right.
///
/// # Errors
/// When drawing fails.
pub fn svg(history: &[EpochMetrics]) -> Result<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (960, 400)).into_drawing_area();
        root.fill(&WHITE)?;
        let (left, right) = root.split_horizontally(480);
        let curve = |value: fn(&EpochMetrics) -> f64| {
            history.iter().map(|e| (e.epoch as f64, value(e))).collect::<Vec<_>>()
        };
        draw(
            &left,
            "loss",
            &[("train, augmented", BLUE, curve(|e| e.train_loss)), ("select", RED, curve(|e| e.select_loss))],
        )?;
        draw(&right, "AUC", &[("select", RED, curve(|e| e.select_auc))])?;
        root.present()?;
    }
    Ok(text)
}

/// A named curve: its colour and its points.
type Curve<'a> = (&'a str, RGBColor, Vec<(f64, f64)>);
type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw(panel: &Panel, title: &str, curves: &[Curve]) -> Result<()> {
    let values = || curves.iter().flat_map(|(_, _, points)| points.iter().map(|point| point.1));
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let margin = ((high - low) * 0.1).max(1e-3);
    let n_epochs = curves.first().context("no curve")?.2.len() as f64;
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(1.0..n_epochs.max(2.0), low - margin..high + margin)?;
    chart.configure_mesh().x_desc("epoch").y_desc(title).light_line_style(TRANSPARENT).draw()?;
    for (name, colour, points) in curves {
        let colour = *colour;
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK.mix(0.3)).draw()?;
    Ok(())
}
