//! The figures of the data analysis: distributions by class.

use super::examined::Examined;
use super::label_noise::{LabelNoise, Scored};
use crate::audit::survey::{Facts, Survey};
use crate::dataset::index::{Index, OfficialSplit};
use crate::figures::{Axes, Form, Series, chart, charts};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

const BINS: usize = 40;

type Of = fn(&Facts) -> f64;

/// All figures of the images, by file name.
///
/// # Errors
/// When drawing fails.
pub fn images(index: &Index, survey: &Survey, examined: &Examined) -> Result<Vec<(String, String)>> {
    let intensity: [(&str, Of); 3] = [
        ("mean level", |f| f.statistics.mean),
        ("standard deviation of the level", |f| f.statistics.standard_deviation),
        ("entropy (bits)", |f| f.statistics.entropy_bits),
    ];
    let texture: [(&str, Of); 3] = [
        ("gradient energy (log10)", |f| f.texture.gradient_energy.max(1e-9).log10()),
        ("Laplacian variance (log10)", |f| f.texture.laplacian_variance.max(1e-9).log10()),
        ("homogeneity", |f| f.texture.homogeneity),
    ];
    Ok(vec![
        ("eda-counts.svg".to_owned(), counts(examined)?),
        ("eda-sizes.svg".to_owned(), sizes(index, survey)?),
        ("eda-intensity.svg".to_owned(), by_class(index, survey, false, &intensity)?),
        ("eda-texture.svg".to_owned(), by_class(index, survey, false, &texture)?),
    ])
}

/// Aspect ratio and shorter side by class, every split.
///
/// # Errors
/// When drawing fails.
pub fn sizes(index: &Index, survey: &Survey) -> Result<String> {
    let sizes: [(&str, Of); 2] = [
        ("aspect ratio (width / height)", |f| f.statistics.aspect_ratio),
        ("shorter side (pixels)", |f| f64::from(f.width.min(f.height))),
    ];
    by_class(index, survey, true, &sizes)
}

/// One histogram panel a property, one series a class.
fn by_class(index: &Index, survey: &Survey, with_test: bool, of: &[(&str, Of)]) -> Result<String> {
    let mut classes: BTreeMap<&str, Vec<&Facts>> = BTreeMap::new();
    for (entry, facts) in index.entries.iter().zip(&survey.facts) {
        if let Some(facts) = facts.as_ref().filter(|_| with_test || entry.split != OfficialSplit::Test) {
            classes.entry(entry.class()).or_default().push(facts);
        }
    }
    let panels: Vec<_> = of
        .iter()
        .map(|(name, of)| {
            let values = |facts: &[&Facts]| facts.iter().map(|facts| of(facts)).collect::<Vec<f64>>();
            let range = range(classes.values().flat_map(|facts| values(facts)));
            let series: Vec<Series> = classes
                .iter()
                .map(|(class, facts)| Series::histogram(*class, &values(facts), &range, BINS))
                .collect();
            (*name, range, series)
        })
        .collect();
    let panels: Vec<_> = panels
        .iter()
        .map(|(name, range, series)| {
            let axes = Axes { title: name, x: name, y: "share of the class" };
            (axes, (range.clone(), 0.0..tallest(series)), series.as_slice())
        })
        .collect();
    charts(&panels)
}

fn counts(examined: &Examined) -> Result<String> {
    // The order of publication, not of the alphabet.
    let published = ["train", "val", "test", "none"];
    let splits: Vec<&str> =
        published.into_iter().filter(|split| examined.counts.contains_key(*split)).collect();
    let classes: BTreeSet<&String> = examined.counts.values().flat_map(BTreeMap::keys).collect();
    let width = 0.8 / classes.len().max(1) as f64;
    let series: Vec<Series> = classes
        .iter()
        .enumerate()
        .map(|(at, class)| {
            let bars = splits.iter().enumerate().flat_map(|(split, name)| {
                let n = examined.counts[*name].get(*class).map_or(0, |count| count.images);
                let left = split as f64 + at as f64 * width;
                // The empty bar beside it says how wide a bar is.
                [(left, n as f64), (left + width, 0.0)]
            });
            Series::new(class.as_str(), bars.collect(), Form::Bars)
        })
        .collect();
    let x = splits.iter().enumerate().map(|(at, split)| format!("{at}: {split}")).collect::<Vec<_>>();
    let x = format!("published split ({})", x.join(", "));
    let axes = Axes { title: "Images by split and class", x: &x, y: "images" };
    chart(&axes, (-0.2..splits.len() as f64, 0.0..tallest(&series)), &series)
}

/// Cross-validated probability of pneumonia by label.
///
/// # Errors
/// When drawing fails.
pub fn label_noise(noise: &LabelNoise, scored: &Scored) -> Result<String> {
    let of_label = |label: bool| {
        let pairs = scored.probabilities.iter().zip(&scored.positive);
        pairs.filter(|(_, positive)| **positive == label).map(|(p, _)| *p).collect::<Vec<f64>>()
    };
    let mut series = vec![
        Series::histogram("labelled negative", &of_label(false), &(0.0..1.0), BINS),
        Series::histogram("labelled positive", &of_label(true), &(0.0..1.0), BINS),
    ];
    let top = tallest(&series);
    let thresholds = [1.0 - noise.thresholds[0], noise.thresholds[1]];
    series.extend(thresholds.map(|at| Series::new("", vec![(at, 0.0), (at, top)], Form::Dashes)));
    let axes = Axes {
        title: "Labels against cross-validated scores",
        x: "probability of pneumonia (dashed: confidently negative, positive)",
        y: "share of the label",
    };
    chart(&axes, (0.0..1.0, 0.0..top), &series)
}

/// From the smallest to the largest value, with room where they are one.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let room = if high - low > 1e-9 { (high - low) * 0.01 } else { (high.abs() * 0.1).max(0.5) };
    low - room..high + room
}

fn tallest(series: &[Series]) -> f64 {
    let heights = series.iter().flat_map(|series| &series.points).map(|point| point.1);
    1.1 * heights.fold(1e-3, f64::max)
}
