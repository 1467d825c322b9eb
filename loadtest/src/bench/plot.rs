//! `latency.svg`: for each model, latency by load and throughput in the closed loop.

use super::run::ModelReport;
use super::summary::Record;
use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (620, 360);
/// Contestants in colours that colour-blind readers can distinguish (Okabe and Ito 2008).
const CONTESTANTS: [(&str, RGBColor); 3] =
    [("cxr", RGBColor(0, 114, 178)), ("peer", RGBColor(213, 94, 0)), ("limit", RGBColor(60, 60, 60))];

/// Draws the file: a row of two panels per model.
pub(super) fn draw(path: &Path, reports: &[ModelReport]) -> Result<()> {
    let size = (SIZE.0 * 2, SIZE.1 * reports.len() as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let panels = root.split_evenly((reports.len(), 2));
    for (report, panels) in reports.iter().zip(panels.chunks(2)) {
        latency(&panels[0], report)?;
        throughput(&panels[1], report)?;
    }
    root.present()?;
    Ok(())
}

fn loads(records: &[Record]) -> Vec<&str> {
    let mut loads: Vec<&str> = Vec::new();
    for record in records {
        if !loads.contains(&record.load.as_str()) {
            loads.push(&record.load);
        }
    }
    loads
}

fn of<'a>(records: &'a [Record], who: &'a str, load: &'a str) -> Option<&'a Record> {
    records.iter().find(|record| record.contestant == who && record.load == load)
}

fn builder<'a, 'b>(
    area: &'a DrawingArea<SVGBackend<'b>, Shift>,
    caption: &str,
) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut chart = ChartBuilder::on(area);
    chart.caption(caption, ("sans-serif", 16)).margin(10).x_label_area_size(36).y_label_area_size(56);
    chart
}

fn latency(area: &DrawingArea<SVGBackend, Shift>, report: &ModelReport) -> Result<()> {
    let loads = loads(&report.records);
    let all =
        || report.records.iter().flat_map(|r| [r.p50_ms, r.p99_ms]).filter(|ms| ms.is_finite() && *ms > 0.0);
    let (low, high) = (all().fold(f64::MAX, f64::min), all().fold(1.0, f64::max));
    let mut chart = builder(area, &format!("{}: latency, p50 (line) and p99 (points)", report.title))
        .build_cartesian_2d(-0.5..loads.len() as f64 - 0.5, (low.min(high) * 0.7..high * 1.5).log_scale())?;
    chart
        .configure_mesh()
        .y_desc("ms")
        .x_labels(loads.len() * 2 + 1)
        .x_label_formatter(&|x| label(&loads, *x))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (who, colour) in CONTESTANTS {
        let at = |figure: fn(&Record) -> f64| -> Vec<(f64, f64)> {
            let found = loads.iter().enumerate();
            let found = found.filter_map(|(x, load)| Some((x, figure(of(&report.records, who, load)?))));
            found.filter(|(_, ms)| ms.is_finite() && *ms > 0.0).map(|(x, ms)| (x as f64, ms)).collect()
        };
        let median = at(|record| record.p50_ms);
        if median.is_empty() {
            continue;
        }
        chart
            .draw_series(LineSeries::new(median, colour.stroke_width(2)))?
            .label(who)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(3)));
        chart.draw_series(
            at(|record| record.p99_ms).into_iter().map(|p| TriangleMarker::new(p, 5, colour.filled())),
        )?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

fn throughput(area: &DrawingArea<SVGBackend, Shift>, report: &ModelReport) -> Result<()> {
    let mut loads = loads(&report.records);
    loads.retain(|load| load.starts_with("closed"));
    let most = report.records.iter().map(|record| record.rps).fold(1.0, f64::max);
    let mut chart = builder(area, &format!("{}: answers per second, closed loop", report.title))
        .build_cartesian_2d(-0.5..loads.len().max(1) as f64 - 0.5, 0.0..most * 1.15)?;
    chart
        .configure_mesh()
        .y_desc("1/s")
        .x_labels(loads.len() * 2 + 1)
        .x_label_formatter(&|x| label(&loads, *x))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (place, (who, colour)) in CONTESTANTS.into_iter().enumerate() {
        let bars = loads.iter().enumerate().filter_map(|(x, load)| {
            let left = x as f64 - 0.36 + 0.24 * place as f64;
            let rps = of(&report.records, who, load)?.rps;
            Some(Rectangle::new([(left, 0.0), (left + 0.22, rps)], colour.mix(0.8).filled()))
        });
        chart.draw_series(bars)?;
    }
    Ok(())
}

fn label(loads: &[&str], x: f64) -> String {
    let is_tick = x > -0.5 && (x - x.round()).abs() <= 0.01;
    let load = loads.get(x.round() as usize).filter(|_| is_tick);
    load.map(|load| (*load).to_owned()).unwrap_or_default()
}
