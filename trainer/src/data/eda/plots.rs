//! Charts of the data analysis: distributions by class.

use super::examined::Examined;
use super::label_noise::{LabelNoise, Scored};
use crate::data::entry::OfficialSplit;
use crate::data::index::Index;
use crate::data::screening::survey::{Facts, Survey};
use crate::figures::{Along, Axes, Form, Series, chart, charts, span, top};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

const BINS: usize = 40;
/// Bins of the sizes, whose bars stand side by side.
const FEW_BINS: usize = 12;

type Of = fn(&Facts) -> f64;

/// All charts by file name.
pub fn images(index: &Index, survey: &Survey, examined: &Examined) -> Result<Vec<(String, String)>> {
    let intensity: [(&str, Of); 3] = [
        ("mean level", |f| f.statistics.mean),
        ("standard deviation of the level", |f| f.statistics.standard_deviation),
        ("entropy (bits)", |f| f.statistics.entropy_bits),
    ];
    let texture: [(&str, Of); 3] = [
        ("gradient energy (log10)", |f| f.statistics.gradient_energy.max(1e-9).log10()),
        ("Laplacian variance (log10)", |f| f.statistics.laplacian_variance.max(1e-9).log10()),
        ("homogeneity", |f| f.statistics.homogeneity),
    ];
    Ok(vec![
        ("eda-counts.svg".to_owned(), counts(examined)?),
        ("eda-sizes.svg".to_owned(), sizes(index, survey)?),
        ("eda-intensity.svg".to_owned(), by_class(index, survey, false, &intensity)?),
        ("eda-texture.svg".to_owned(), by_class(index, survey, false, &texture)?),
    ])
}

/// Aspect ratio and shorter side by class, over all splits.
pub fn sizes(index: &Index, survey: &Survey) -> Result<String> {
    let sizes: [(&str, Of); 2] = [
        ("aspect ratio (width / height)", |f| f.statistics.aspect_ratio),
        ("shorter side (pixels)", |f| f64::from(f.width.min(f.height))),
    ];
    by_class(index, survey, true, &sizes)
}

/// One histogram per property, one series per class. Sizes are bars side by side, because many images have
/// the same size and outlines would cover each other.
fn by_class(index: &Index, survey: &Survey, sizes: bool, of: &[(&str, Of)]) -> Result<String> {
    let mut classes: BTreeMap<&str, Vec<&Facts>> = BTreeMap::new();
    for (entry, facts) in index.entries.iter().zip(&survey.facts) {
        if let Some(facts) = facts.as_ref().filter(|_| sizes || entry.split != OfficialSplit::Test) {
            classes.entry(entry.class.as_str()).or_default().push(facts);
        }
    }
    let panels: Vec<_> = of
        .iter()
        .map(|(name, of)| {
            let values = |facts: &[&Facts]| facts.iter().map(|facts| of(facts)).collect::<Vec<f64>>();
            let range = span(classes.values().flat_map(|facts| values(facts)));
            let bins = if sizes { FEW_BINS } else { BINS };
            let series: Vec<Series> = classes
                .iter()
                .enumerate()
                .map(|(at, (class, facts))| {
                    let steps = Series::histogram(*class, &values(facts), &range, bins);
                    if sizes { beside(steps, at, classes.len()) } else { steps }
                })
                .collect();
            (*name, range, series)
        })
        .collect();
    let panels: Vec<_> = panels
        .iter()
        .map(|(name, range, series)| {
            let axes = Axes { title: name, x: name, y: "share of the class", along: Along::Numbers };
            (axes, (range.clone(), 0.0..top(series)), series.as_slice())
        })
        .collect();
    charts(&panels)
}

/// Turns outlines into the bars of class `at` of `n`.
fn beside(histogram: Series, at: usize, n: usize) -> Series {
    let Form::Steps(bin) = histogram.form else { return histogram };
    let width = 0.9 * bin / n.max(1) as f64;
    let points = histogram.points.iter().map(|(left, share)| (left + at as f64 * width, *share));
    Series::new(histogram.name, points.collect(), Form::Bars(width))
}

fn counts(examined: &Examined) -> Result<String> {
    let published = ["train", "val", "test", "none"];
    let splits: Vec<&str> =
        published.into_iter().filter(|split| examined.counts.contains_key(*split)).collect();
    let classes: BTreeSet<&String> = examined.counts.values().flat_map(BTreeMap::keys).collect();
    let width = 0.8 / classes.len().max(1) as f64;
    let series: Vec<Series> = classes
        .iter()
        .enumerate()
        .map(|(at, class)| {
            let n = |split: &str| examined.counts[split].get(*class).map_or(0, |count| count.images);
            let left = |split: usize| split as f64 - 0.4 + at as f64 * width;
            let bars = splits.iter().enumerate().map(|(split, name)| (left(split), n(name) as f64));
            Series::new(class.as_str(), bars.collect(), Form::Bars(width))
                .noted(splits.iter().map(|name| n(name).to_string()).collect())
        })
        .collect();
    let is_flat = splits == ["none"];
    let (title, x) = if is_flat {
        ("Images by class", "the data has no published split")
    } else {
        ("Images by published split and class", "published split")
    };
    let names: Vec<&str> = splits
        .iter()
        .map(|split| match *split {
            "none" if is_flat => "all images",
            "none" => "in no split",
            split => split,
        })
        .collect();
    let axes = Axes { title, x, y: "images", along: Along::Names(&names) };
    chart(&axes, (-0.5..splits.len().max(1) as f64 - 0.5, 0.0..top(&series)), &series)
}

/// Cross-validated probability of the positive class by label.
pub fn label_noise(noise: &LabelNoise, scored: &Scored) -> Result<String> {
    let of_label = |label: bool| {
        let pairs = scored.probabilities.iter().zip(&scored.positive);
        pairs.filter(|(_, positive)| **positive == label).map(|(p, _)| *p).collect::<Vec<f64>>()
    };
    let mut series = vec![
        Series::histogram("labelled negative", &of_label(false), &(0.0..1.0), BINS),
        Series::histogram("labelled positive", &of_label(true), &(0.0..1.0), BINS),
    ];
    let top = top(&series);
    let thresholds = [1.0 - noise.thresholds[0], noise.thresholds[1]];
    let names = ["confidently negative: below", "confidently positive: from"];
    series.extend(
        thresholds.into_iter().zip(names).map(|(at, name)| {
            Series::new(format!("{name} {at:.3}"), vec![(at, 0.0), (at, top)], Form::Dashes)
        }),
    );
    let axes = Axes {
        title: "Labels against cross-validated scores",
        x: "probability of the positive class",
        y: "share of the label",
        along: Along::Numbers,
    };
    chart(&axes, (0.0..1.0, 0.0..top), &series)
}
