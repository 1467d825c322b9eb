//! The figure of a study: objective by epoch for every trial, and objective against every parameter.

use super::study::{EpochPoint, Study, Trial};
use crate::config::tune::{Objective, Range};
use crate::figures::span;
use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

const PANEL: (u32, u32) = (480, 360);

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub fn svg(study: &Study) -> Result<String> {
    let n_panels = 1 + study.definition.space.len();
    let n_rows = n_panels.div_ceil(2);
    let mut text = String::new();
    {
        let root =
            SVGBackend::with_string(&mut text, (2 * PANEL.0, n_rows as u32 * PANEL.1)).into_drawing_area();
        root.fill(&WHITE)?;
        let panels = root.split_evenly((n_rows, 2));
        let mut panels = panels.iter();
        if let Some(panel) = panels.next() {
            curves(panel, study)?;
        }
        for (panel, (key, range)) in panels.zip(&study.definition.space) {
            scatter(panel, study, key, range)?;
        }
        root.present()?;
    }
    Ok(text)
}

/// The plotted objective: log10 of the loss, or the AUC.
fn ordinate(study: &Study, select_loss: f64, select_auc: f64) -> f64 {
    match study.definition.objective {
        Objective::SelectLoss => select_loss.max(1e-6).log10(),
        Objective::SelectAuc => select_auc,
    }
}

fn title(study: &Study) -> &'static str {
    match study.definition.objective {
        Objective::SelectLoss => "select loss",
        Objective::SelectAuc => "select AUC",
    }
}

fn tick(study: &Study, value: f64) -> String {
    match study.definition.objective {
        Objective::SelectLoss => format!("{:.3}", 10f64.powf(value)),
        Objective::SelectAuc => format!("{value:.4}"),
    }
}

fn colour(study: &Study, trial: &Trial) -> RGBColor {
    if study.best().is_some_and(|(best, _)| best.number == trial.number) {
        RED
    } else {
        // From light grey at the first rung to blue at the last.
        let share = trial.rungs.len() as f64 / study.definition.rungs.len() as f64;
        let mix = |from: f64, to: f64| (from + (to - from) * share) as u8;
        RGBColor(mix(200.0, 31.0), mix(200.0, 90.0), mix(200.0, 180.0))
    }
}

fn builder<'a, 'b>(panel: &'a Panel<'b>) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut builder = ChartBuilder::on(panel);
    builder.margin(12).x_label_area_size(36).y_label_area_size(60);
    builder
}

fn curves(panel: &Panel, study: &Study) -> Result<()> {
    let points = |trial: &Trial| {
        let point = |e: &EpochPoint| (e.epoch as f64, ordinate(study, e.select_loss, e.select_auc));
        trial.epochs.iter().map(point).collect::<Vec<_>>()
    };
    let last = study.definition.rungs.last().copied().unwrap_or(1).max(2) as f64;
    let y = span(study.trials.iter().flat_map(points).map(|(_, value)| value));
    let mut chart = builder(panel).build_cartesian_2d(0.8..last + 0.2, y)?;
    chart
        .configure_mesh()
        .x_desc("epoch (red: the best trial)")
        .y_desc(title(study))
        .light_line_style(TRANSPARENT)
        .y_label_formatter(&|value| tick(study, *value))
        .draw()?;
    for trial in &study.trials {
        let (colour, points) = (colour(study, trial), points(trial));
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        let ends = study.definition.rungs.iter().filter_map(|epoch| points.get(epoch.checked_sub(1)?));
        chart.draw_series(ends.map(|point| Circle::new(*point, 3, colour.filled())))?;
    }
    Ok(())
}

fn scatter(panel: &Panel, study: &Study, key: &str, range: &Range) -> Result<()> {
    let point = |trial: &Trial| {
        let result = trial.rungs.last()?;
        let position = range.position(trial.parameters.get(key)?)?;
        Some((position, ordinate(study, result.select_loss, result.select_auc)))
    };
    let [low, high] = range.interval();
    let y = span(study.trials.iter().filter_map(point).map(|(_, value)| value));
    let mut chart = builder(panel).build_cartesian_2d(low..high, y)?;
    let label = |position: &f64| match range {
        Range::Choice(_) if (position.fract() - 0.5).abs() > 1e-6 => String::new(),
        Range::Choice(_) => range.value(*position).to_string(),
        Range::LogUniform(_) => format!("{:.1e}", position.exp()),
        Range::Uniform(_) => format!("{position:.3}"),
    };
    let n_labels = if let Range::Choice(values) = range { 2 * values.len() + 1 } else { 6 };
    chart
        .configure_mesh()
        .x_desc(format!("{key} (at the last rung of each trial)"))
        .y_desc(title(study))
        .x_labels(n_labels)
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&label)
        .y_label_formatter(&|value| tick(study, *value))
        .draw()?;
    let circles = study.trials.iter().filter_map(|trial| Some((trial, point(trial)?)));
    chart.draw_series(circles.map(|(trial, point)| Circle::new(point, 4, colour(study, trial).filled())))?;
    Ok(())
}
