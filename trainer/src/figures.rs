//! SVG charts for the report, drawn with `plotters`.

pub mod contact_sheet;

use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;

const SIZE: (u32, u32) = (640, 440);
/// The same in a figure with more than [`FEW`] charts.
const SMALL: (u32, u32) = (420, 300);
const FEW: usize = 4;
const LEGEND_LINE: u32 = 18;
/// Upper bound of the width of a letter of the legend, in pixels; there is no font to measure.
const LETTER: u32 = 7;
/// Colours for the colour-blind (Okabe and Ito 2008), then others.
const COLOURS: [u32; 12] = [
    0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9, 0x3c3c3c, 0x966432, 0x785ef0, 0xa0a0a0,
    0xdc267f, 0x648f14,
];

#[derive(Debug, Clone, Copy)]
pub struct Axes<'a> {
    pub title: &'a str,
    /// Label of the x axis, with the unit.
    pub x: &'a str,
    /// Label of the y axis, with the unit.
    pub y: &'a str,
    pub along: Along<'a>,
}

#[derive(Debug, Clone, Copy)]
pub enum Along<'a> {
    Numbers,
    /// Whole numbers only, such as epochs.
    Whole,
    /// Names at 0, 1, 2 and so on.
    Names(&'a [&'a str]),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    Line,
    Marks,
    Dashes,
    Points,
    /// Filled bars of this width from zero; the point is the upper left corner.
    Bars(f64),
    Steps(f64),
}

#[derive(Debug, Clone)]
pub struct Series {
    /// Entry in the legend; empty for none.
    pub name: String,
    pub points: Vec<(f64, f64)>,
    pub form: Form,
    /// Text above each point; empty for none.
    pub notes: Vec<String>,
}

impl Series {
    pub fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self::new(name, points, Form::Line)
    }

    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>, form: Form) -> Self {
        Self { name: name.into(), points, form, notes: Vec::new() }
    }

    #[must_use]
    pub fn noted(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }

    /// Shares in `bins` equal bins over `range`; values outside count in the first or the last bin.
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
        Self::new(name, counts.iter().enumerate().map(share).collect(), Form::Steps(width))
    }
}

pub fn chart(axes: &Axes, ranges: (Range<f64>, Range<f64>), series: &[Series]) -> Result<String> {
    charts(&[(*axes, ranges, series)])
}

/// Several charts in one figure, two per row, or three small ones per row for more than [`FEW`].
pub fn charts(panels: &[(Axes, (Range<f64>, Range<f64>), &[Series])]) -> Result<String> {
    let (size, most) = if panels.len() > FEW { (SMALL, 3) } else { (SIZE, 2) };
    let columns = panels.len().clamp(1, most);
    let rows = panels.len().div_ceil(columns).max(1);
    let mut text = String::new();
    {
        let size = (size.0 * columns as u32, size.1 * rows as u32);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, (axes, ranges, series)) in root.split_evenly((rows, columns)).iter().zip(panels) {
            draw(area, axes, ranges, series).with_context(|| format!("the chart {:?}", axes.title))?;
        }
        root.present()?;
    }
    Ok(text)
}

/// Range of the values with a margin, also if all values are equal.
pub fn span(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let room = if high - low > 1e-9 { (high - low) * 0.04 } else { (high.abs() * 0.1).max(0.01) };
    low - room..high + room
}

/// Upper end of a y axis from zero, a little above the highest point.
pub fn top(series: &[Series]) -> f64 {
    let heights = series.iter().flat_map(|series| &series.points).map(|point| point.1);
    1.1 * heights.fold(1e-3, f64::max)
}

pub fn tick(value: f64) -> String {
    // Adding zero turns -0 into 0.
    ((value * 1e6).round() / 1e6 + 0.0).to_string()
}

fn draw(
    area: &DrawingArea<SVGBackend, Shift>,
    axes: &Axes,
    (x, y): &(Range<f64>, Range<f64>),
    series: &[Series],
) -> Result<()> {
    let colours = COLOURS.map(|rgb| RGBColor((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8));
    let coloured: Vec<(&Series, RGBColor)> = series.iter().zip(colours.into_iter().cycle()).collect();
    let (width, height) = area.dim_in_pixel();
    let keys = keys(&coloured, width);
    let n_lines = keys.last().map_or(0, |key| key.line + 1);
    // Below the chart, where the legend hides no data.
    let (area, below) = area.split_vertically(height - n_lines * LEGEND_LINE - u32::from(n_lines > 0) * 6);
    let mut chart = ChartBuilder::on(&area)
        .caption(axes.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(x.clone(), y.clone())?;
    let label = |value: &f64| match axes.along {
        Along::Names(names) if (value - value.round()).abs() < 1e-6 && value.round() >= 0.0 => {
            names.get(value.round() as usize).copied().unwrap_or_default().to_owned()
        }
        Along::Names(_) => String::new(),
        Along::Numbers | Along::Whole => tick(*value),
    };
    let n_labels = match axes.along {
        Along::Numbers => (width / 58).clamp(4, 11) as usize,
        // A step below 1 would label fractions.
        Along::Whole => ((x.end - x.start) as usize).clamp(1, 10),
        // Labels half-way between the names stay empty.
        Along::Names(names) => 2 * names.len() + 1,
    };
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(axes.x).y_desc(axes.y).light_line_style(TRANSPARENT).x_labels(n_labels);
    mesh.x_label_formatter(&label).y_label_formatter(&|value| tick(*value)).draw()?;
    for (series, colour) in coloured {
        let points = series.points.iter().copied();
        match series.form {
            Form::Line => chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?,
            Form::Marks => {
                let style = colour.stroke_width(2).filled();
                chart.draw_series(LineSeries::new(points, style).point_size(4))?
            }
            Form::Dashes => {
                chart.draw_series(DashedLineSeries::new(points, 5, 4, BLACK.mix(0.5).stroke_width(1)))?
            }
            Form::Points => chart.draw_series(points.map(|at| Circle::new(at, 4, colour.filled())))?,
            Form::Bars(width) => {
                let bar = |(left, height)| {
                    Rectangle::new([(left, 0.0), (left + width, height)], colour.mix(0.45).filled())
                };
                chart.draw_series(points.map(bar))?
            }
            Form::Steps(width) => {
                let outline = outline(&series.points, width);
                chart.draw_series(LineSeries::new(outline, colour.stroke_width(2)))?
            }
        };
        let style = ("sans-serif", 12).into_font().color(&colour).pos(Pos::new(HPos::Center, VPos::Bottom));
        let middle = if let Form::Bars(width) = series.form { width / 2.0 } else { 0.0 };
        let notes = series.points.iter().zip(&series.notes).map(|((x, y), note)| {
            EmptyElement::at((x + middle, *y)) + Text::new(note.clone(), (0, -5), style.clone())
        });
        chart.draw_series(notes)?;
    }
    for key in &keys {
        key.draw(&below)?;
    }
    Ok(())
}

fn outline(points: &[(f64, f64)], width: f64) -> Vec<(f64, f64)> {
    let corners = points.iter().flat_map(|(left, height)| [(*left, *height), (left + width, *height)]);
    let ends = points.first().zip(points.last());
    let (first, last) = ends.map(|(first, last)| ((first.0, 0.0), (last.0 + width, 0.0))).unzip();
    first.into_iter().chain(corners).chain(last).collect()
}

struct Key<'a> {
    series: &'a Series,
    colour: RGBColor,
    left: u32,
    line: u32,
}

/// Entries of the named series, in as many lines as needed.
fn keys<'a>(series: &[(&'a Series, RGBColor)], width: u32) -> Vec<Key<'a>> {
    const LEFT: u32 = 60;
    let (mut left, mut line) = (LEFT, 0);
    let named = series.iter().filter(|(series, _)| !series.name.is_empty());
    named
        .map(|(series, colour)| {
            let length = 40 + LETTER * series.name.chars().count() as u32;
            if left > LEFT && left + length > width {
                (left, line) = (LEFT, line + 1);
            }
            let key = Key { series, colour: *colour, left, line };
            left += length;
            key
        })
        .collect()
}

impl Key<'_> {
    fn draw(&self, area: &DrawingArea<SVGBackend, Shift>) -> Result<()> {
        let (left, y) = (self.left as i32, (self.line * LEGEND_LINE + LEGEND_LINE / 2) as i32);
        let (ends, colour) = (vec![(left, y), (left + 20, y)], self.colour);
        let mark = Circle::new((left + 10, y), 4, colour.filled());
        match self.series.form {
            Form::Line | Form::Steps(_) => area.draw(&PathElement::new(ends, colour.stroke_width(2)))?,
            Form::Marks => {
                area.draw(&PathElement::new(ends, colour.stroke_width(2)))?;
                area.draw(&mark)?;
            }
            Form::Points => area.draw(&mark)?,
            Form::Dashes => {
                for dash in [0, 8, 16].map(|from| vec![(left + from, y), (left + from + 4, y)]) {
                    area.draw(&PathElement::new(dash, BLACK.mix(0.5).stroke_width(1)))?;
                }
            }
            Form::Bars(_) => {
                area.draw(&Rectangle::new([(left, y - 5), (left + 20, y + 5)], colour.mix(0.45).filled()))?;
            }
        }
        let style = ("sans-serif", 13).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(self.series.name.clone(), (left + 26, y), style))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legend_stands_below_the_chart_in_as_many_lines_as_it_needs() {
        let series = ["first of the classes", "second", "", "third of the classes"]
            .map(|name| Series::line(name, Vec::new()));
        let coloured: Vec<_> = series.iter().map(|series| (series, BLACK)).collect();
        let places = |width| keys(&coloured, width).iter().map(|key| key.line).collect::<Vec<_>>();
        assert_eq!(places(640), [0, 0, 0]);
        assert_eq!(places(400), [0, 0, 1]);
    }

    #[test]
    fn names_counts_and_whole_numbers_stand_on_the_axes() {
        let bars = Series::new("a", vec![(-0.4, 7.0), (0.6, 9.0)], Form::Bars(0.8));
        let bars = [bars.noted(vec!["7 images".to_owned(), "9 images".to_owned()])];
        let axes = Axes { title: "t", x: "split", y: "images", along: Along::Names(&["train", "val"]) };
        let svg = chart(&axes, (-0.5..1.5, 0.0..10.0), &bars).unwrap();
        for text in ["train", "val", "7 images", "9 images"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        let epochs = Axes { along: Along::Whole, ..axes };
        let line = [Series::new("", vec![(1.0, 1.0), (3.0, 2.0)], Form::Marks)];
        let svg = chart(&epochs, (0.5..3.5, 0.0..10.0), &line).unwrap();
        assert!(!svg.contains("\n1.5\n") && !svg.contains(">1.5<"), "{svg}");
        assert_eq!([tick(-0.0), tick(0.25), tick(120.0)], ["0", "0.25", "120"]);
    }

    #[test]
    fn an_outline_starts_and_ends_at_zero() {
        let corners = [(0.0, 0.0), (0.0, 0.5), (1.0, 0.5), (1.0, 0.2), (2.0, 0.2), (2.0, 0.0)];
        assert_eq!(outline(&[(0.0, 0.5), (1.0, 0.2)], 1.0), corners);
        assert_eq!(outline(&[], 1.0), []);
    }
}
