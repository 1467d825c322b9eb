//! Properties, statistics and artefacts by class, and shortcuts: single properties that predict the class.

use crate::config::Config;
use crate::data::count::{CountTable, count, listed};
use crate::data::entry::{Entry, OfficialSplit};
use crate::data::index::Index;
use crate::data::screening::confounders::measured_auc;
use crate::data::screening::survey::{Facts, Survey};
use crate::progress::say;
use anyhow::{Context, Result};
use cxr::analysis::summary::Summary;
use cxr::bundle::Measured;
use cxr::image::ColourMode;
use cxr::statistics::ImageStatistics;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examined {
    /// Number of usable images.
    pub n: usize,
    /// By published split and class folder, including unusable images.
    pub counts: CountTable<String>,
    /// By class folder, in all splits.
    pub properties: BTreeMap<String, Properties>,
    /// By class folder and name (`cxr::statistics`), without the test split.
    pub statistics: BTreeMap<String, BTreeMap<String, Summary>>,
    /// Artefacts by class folder, without the published test split.
    pub artefacts: BTreeMap<String, ArtefactCounts>,
    /// By descending AUC, without the published test split.
    pub shortcuts: Vec<Shortcut>,
}

/// File properties of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Properties {
    pub width: Summary,
    pub height: Summary,
    /// The smaller of width and height.
    pub short_side: Summary,
    /// Width over height.
    pub aspect_ratio: Summary,
    /// File size in bytes.
    pub bytes: Summary,
    pub n_sizes: usize,
    /// Images by file format.
    pub formats: BTreeMap<String, usize>,
    /// Images by stored colour mode; a JPEG with three equal channels counts as colour.
    pub colours: BTreeMap<String, usize>,
    /// Images by significant bits.
    pub bits: BTreeMap<u8, usize>,
}

/// Images with artefacts (`cxr::analysis::artefact`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtefactCounts {
    pub n: usize,
    /// Images with a black or white margin of at least 2 % of a side.
    pub bordered: usize,
    /// Images with letter-like marks: candidates for burned-in text.
    pub marked: usize,
    /// Almost all dark, almost all bright, clipped or without contrast.
    pub extreme_exposure: usize,
}

/// How well one property alone predicts the label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shortcut {
    pub property: String,
    /// With the property as the score. Below 0.5, positives have less of it.
    pub auc: Measured,
    pub negative_median: f64,
    pub positive_median: f64,
}

impl Shortcut {
    /// The AUC in the direction in which it is at least 0.5.
    pub fn strength(&self) -> Measured {
        let Measured { value, ci95: [low, high], n } = self.auc;
        if value < 0.5 { Measured { value: 1.0 - value, ci95: [1.0 - high, 1.0 - low], n } } else { self.auc }
    }

    pub fn direction(&self) -> &'static str {
        if self.auc.value < 0.5 { "more in negatives" } else { "more in positives" }
    }
}

impl fmt::Display for Shortcut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { value, ci95: [low, high], .. } = self.strength();
        write!(f, "{}, AUC {value:.3} [{low:.3}, {high:.3}], {}", self.property, self.direction())
    }
}

type Seen<'a> = (&'a Entry, &'a Facts);

impl Examined {
    pub fn of(index: &Index, survey: &Survey, config: &Config) -> Result<Self> {
        let images = index.entries.iter().zip(&survey.facts);
        let seen: Vec<Seen> = images.filter_map(|(entry, facts)| Some((entry, facts.as_ref()?))).collect();
        let mut all: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
        for one in &seen {
            all.entry(one.0.class.clone()).or_default().push(*one);
        }
        let known: Vec<Seen> =
            seen.iter().filter(|(entry, _)| entry.split != OfficialSplit::Test).copied().collect();
        let of_class = |class: &String| -> Vec<Seen> {
            known.iter().filter(|(entry, _)| entry.class == *class).copied().collect()
        };
        let properties = all.iter().map(|(class, seen)| Ok((class.clone(), properties(seen)?)));
        Ok(Self {
            n: seen.len(),
            counts: count(index.entries.iter().map(|entry| (entry.split.name().to_owned(), entry))),
            properties: properties.collect::<Result<_>>()?,
            statistics: all.keys().map(|class| (class.clone(), summaries(&of_class(class)))).collect(),
            artefacts: all.keys().map(|class| (class.clone(), screens(&of_class(class)))).collect(),
            shortcuts: shortcuts(&known, config.seed)?,
        })
    }

    /// Prints a summary.
    pub fn print(&self, what: &str) {
        for (class, p) in &self.properties {
            say(format!(
                "{what}, {class}: median {} x {} pixels, {} sizes, aspect ratio {:.2} [{:.2}, {:.2}]; files: {}; colours: {}",
                p.width.median,
                p.height.median,
                p.n_sizes,
                p.aspect_ratio.median,
                p.aspect_ratio.min,
                p.aspect_ratio.max,
                listed(&p.formats),
                listed(&p.colours)
            ));
        }
        for (class, a) in &self.artefacts {
            say(format!(
                "{what}, {class}: {} of {} bordered, {} with letter-like marks, {} with extreme exposure",
                a.bordered, a.n, a.marked, a.extreme_exposure
            ));
        }
        // Skip shortcuts whose interval contains 0.5.
        for shortcut in self.shortcuts.iter().filter(|one| one.strength().ci95[0] > 0.5).take(4) {
            say(format!(
                "{what}: one property alone predicts the class: {shortcut}; medians {:.4} and {:.4}",
                shortcut.negative_median, shortcut.positive_median
            ));
        }
    }
}

fn properties(seen: &[Seen]) -> Result<Properties> {
    let summary = |of: fn(&Facts) -> f64| {
        let values: Vec<f64> = seen.iter().map(|(_, facts)| of(facts)).collect();
        Summary::of(&values).context("a class has no usable image")
    };
    Ok(Properties {
        width: summary(|f| f64::from(f.width))?,
        height: summary(|f| f64::from(f.height))?,
        short_side: summary(|f| f64::from(f.width.min(f.height)))?,
        aspect_ratio: summary(|f| f.statistics.aspect_ratio)?,
        bytes: summary(|f| f.bytes as f64)?,
        n_sizes: seen.iter().map(|(_, f)| (f.width, f.height)).collect::<BTreeSet<_>>().len(),
        formats: tally(seen, |f| f.format.name().to_owned()),
        colours: tally(seen, |f| f.colour.name().to_owned()),
        bits: tally(seen, |f| f.bits),
    })
}

fn tally<K: Ord>(seen: &[Seen], of: fn(&Facts) -> K) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for (_, facts) in seen {
        *counts.entry(of(facts)).or_default() += 1;
    }
    counts
}

fn summaries(seen: &[Seen]) -> BTreeMap<String, Summary> {
    let summary = |(at, name): (usize, &str)| {
        let values: Vec<f64> = seen.iter().map(|(_, facts)| facts.statistics.values()[at]).collect();
        Some((name.to_owned(), Summary::of(&values)?))
    };
    ImageStatistics::NAMES.into_iter().enumerate().filter_map(summary).collect()
}

fn screens(seen: &[Seen]) -> ArtefactCounts {
    let n = |of: fn(&Facts) -> bool| seen.iter().filter(|(_, facts)| of(facts)).count();
    ArtefactCounts {
        n: seen.len(),
        bordered: n(|f| f.artefacts.is_bordered()),
        marked: n(|f| f.artefacts.marks > 0),
        extreme_exposure: n(|f| f.artefacts.extreme_exposure),
    }
}

fn shortcuts(seen: &[Seen], seed: u64) -> Result<Vec<Shortcut>> {
    let stored: [(&str, fn(&Facts) -> f64); 6] = [
        ("short_side", |f| f64::from(f.width.min(f.height))),
        ("bytes", |f| f.bytes as f64),
        ("colour", |f| f64::from(u8::from(f.colour != ColourMode::Grey))),
        ("black_border", |f| f.artefacts.black_border),
        ("white_border", |f| f.artefacts.white_border),
        ("marks", |f| f.artefacts.marks as f64),
    ];
    let of_image = ImageStatistics::NAMES.into_iter().enumerate().map(|(at, name)| {
        (name, seen.iter().map(|(_, facts)| facts.statistics.values()[at]).collect::<Vec<f64>>())
    });
    let of_file =
        stored.into_iter().map(|(name, of)| (name, seen.iter().map(|(_, facts)| of(facts)).collect()));
    let entries: Vec<&Entry> = seen.iter().map(|(entry, _)| *entry).collect();
    let mut shortcuts = of_image
        .chain(of_file)
        .map(|(name, values)| shortcut(name, &values, &entries, seed))
        .collect::<Result<Vec<_>>>()?;
    shortcuts.sort_by(|a, b| b.strength().value.total_cmp(&a.strength().value));
    Ok(shortcuts)
}

fn shortcut(name: &str, values: &[f64], entries: &[&Entry], seed: u64) -> Result<Shortcut> {
    let auc = measured_auc(values, entries, seed)
        .context("too few patients or only one class with usable images outside of the test split")?;
    let median = |label: bool| {
        let of_label = values.iter().zip(entries).filter(|(_, entry)| entry.positive == label);
        let of_label: Vec<f64> = of_label.map(|(value, _)| *value).collect();
        Summary::of(&of_label).map_or(f64::NAN, |summary| summary.median)
    };
    Ok(Shortcut {
        property: name.to_owned(),
        auc,
        negative_median: median(false),
        positive_median: median(true),
    })
}
