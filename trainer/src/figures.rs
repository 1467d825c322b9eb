//! Charts as SVG: the few forms that the report needs, all drawn by `plotters`.

use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::ops::Range;

const SIZE: (u32, u32) = (640, 440);
/// Colours that stay apart for the colour-blind (Okabe and Ito 2008), then lighter and darker ones.
const COLOURS: [RGBColor; 12] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(60, 60, 60),
    RGBColor(150, 100, 50),
    RGBColor(120, 94, 240),
    RGBColor(160, 160, 160),
    RGBColor(220, 38, 127),
    RGBColor(100, 143, 20),
];

/// Title and axis labels.
#[derive(Debug, Clone, Copy)]
pub struct Axes<'a> {
    /// Above the chart.
    pub title: &'a str,
    /// Below it, with the unit.
    pub x: &'a str,
    /// Beside it, with the unit.
    pub y: &'a str,
}

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Joined.
    Line,
    /// Joined by a thin line of dashes: a reference.
    Dashes,
    /// Points alone.
    Points,
    /// Bars from zero, as wide as the distance to the next point.
    Bars,
}

/// A named series.
#[derive(Debug, Clone)]
pub struct Series {
    /// In the legend; empty for none.
    pub name: String,
    /// `(x, y)`.
    pub points: Vec<(f64, f64)>,
    /// How it is drawn.
    pub form: Form,
}

impl Series {
    /// A joined series.
    pub fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, form: Form::Line }
    }

    /// A series in another form.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>, form: Form) -> Self {
        Self { name: name.into(), points, form }
    }

    /// A histogram of values in `bins` equal bins over `range`, as shares of all values.
    pub fn histogram(name: impl Into<String>, values: &[f64], range: &Range<f64>, bins: usize) -> Self {
        let width = (range.end - range.start) / bins as f64;
        let mut counts = vec![0usize; bins];
        for value in values {
            let bin = ((value - range.start) / width).floor().clamp(0.0, bins as f64 - 1.0) as usize;
            counts[bin] += 1;
        }
        let share = |(bin, count): (usize, &usize)| {
            (range.start + bin as f64 * width, *count as f64 / values.len().max(1) as f64)
        };
        Self::new(name, counts.iter().enumerate().map(share).collect(), Form::Bars)
    }
}

/// One chart.
///
/// # Errors
/// When drawing fails.
pub fn chart(axes: &Axes, ranges: (Range<f64>, Range<f64>), series: &[Series]) -> Result<String> {
    charts(&[(*axes, ranges, series)])
}

/// Several charts side by side.
///
/// # Errors
/// When drawing fails.
pub fn charts(panels: &[(Axes, (Range<f64>, Range<f64>), &[Series])]) -> Result<String> {
    let mut text = String::new();
    {
        let size = (SIZE.0 * panels.len() as u32, SIZE.1);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, (axes, ranges, series)) in root.split_evenly((1, panels.len())).iter().zip(panels) {
            draw(area, axes, ranges, series).with_context(|| format!("the chart {:?}", axes.title))?;
        }
        root.present()?;
    }
    Ok(text)
}

fn draw(
    area: &DrawingArea<SVGBackend, Shift>,
    axes: &Axes,
    (x, y): &(Range<f64>, Range<f64>),
    series: &[Series],
) -> Result<()> {
    let mut chart = ChartBuilder::on(area)
        .caption(axes.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(x.clone(), y.clone())?;
    chart.configure_mesh().x_desc(axes.x).y_desc(axes.y).light_line_style(TRANSPARENT).draw()?;
    for (series, colour) in series.iter().zip(COLOURS.into_iter().cycle()) {
        let points = series.points.iter().copied();
        let drawn = match series.form {
            Form::Line => chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?,
            Form::Dashes => {
                chart.draw_series(DashedLineSeries::new(points, 5, 4, BLACK.mix(0.5).stroke_width(1)))?
            }
            Form::Points => chart.draw_series(points.map(|at| Circle::new(at, 3, colour.filled())))?,
            Form::Bars => {
                let width = series.points.windows(2).map(|w| w[1].0 - w[0].0).fold(f64::MAX, f64::min);
                let bar = |(left, height)| {
                    Rectangle::new([(left, 0.0), (left + width, height)], colour.mix(0.45).filled())
                };
                chart.draw_series(points.map(bar))?
            }
        };
        if !series.name.is_empty() {
            drawn
                .label(series.name.clone())
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(3)));
        }
    }
    if series.iter().any(|series| !series.name.is_empty()) {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
    }
    Ok(())
}
