//! Figures by subgroup, from the table, the file name, the stored image and the header of the original.

use crate::data::columns::Column;
use crate::data::patient::by_pattern;
use crate::data::pixels::Pixels;
use crate::measure::sample::Sample;
use cxr::DecodeLimits;
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::Measured;
use cxr::statistics::ImageStatistics;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subgroup {
    pub property: String,
    pub group: String,
    pub n: usize,
    pub n_positive: usize,
    /// `None` if the group is all of one class.
    pub auc: Option<Measured>,
    pub sensitivity: Option<Measured>,
    pub specificity: Option<Measured>,
}

/// A property with its groups of images.
pub type Property = (String, BTreeMap<String, Vec<usize>>);

pub fn measure(properties: &[Property], sample: &Sample, threshold: f64) -> Vec<Subgroup> {
    let groups = properties
        .iter()
        .flat_map(|(property, groups)| groups.iter().map(move |(group, images)| (property, group, images)));
    let subgroup = |(property, group, images): (&String, &String, &Vec<usize>)| {
        sample.subset(images, |sample| Subgroup {
            property: property.clone(),
            group: group.clone(),
            n: sample.n(),
            n_positive: sample.n_positive(),
            auc: sample.measured(sample.n(), &auc),
            sensitivity: sample.sensitivity(threshold),
            specificity: sample.specificity(threshold),
        })
    };
    groups.map(subgroup).collect()
}

/// The properties of a fold. The first capture group of each regular expression in `names`, applied to the
/// file name, is the subgroup. `originals` has originals of some images under the same paths.
pub fn of_fold(pixels: &Pixels, names: &[(String, Regex)], originals: Option<&Path>) -> Vec<Property> {
    let entries = &pixels.entries;
    // More than two classes: several count as one label.
    let classes: BTreeSet<&str> = entries.iter().map(|entry| entry.class.as_str()).collect();
    let of_class =
        (classes.len() > 2).then(|| by("class", entries.iter().map(|entry| Some(entry.class.clone()))));
    let of_table = Column::ALL
        .into_iter()
        .map(|column| by(column.property(), entries.iter().map(|entry| entry.columns.get(&column).cloned())));
    let of_names = names.iter().map(|(property, pattern)| {
        by(property, entries.iter().map(|entry| by_pattern(entry.file_name(), pattern)))
    });
    let mut properties: Vec<Property> = of_class.into_iter().chain(of_table).chain(of_names).collect();
    properties.extend(by_statistics(&pixels.statistics));
    let headers: Vec<Option<Header>> =
        entries.iter().map(|entry| header(&originals?.join(&entry.path))).collect();
    if headers.iter().any(Option::is_some) {
        let of_headers: [(&str, fn(&Header) -> &'static str); 3] = [
            ("original's colour mode", |header| header.colour),
            ("original's short side", |header| {
                if header.short_side < 1000 { "below 1000 px" } else { "1000 px and more" }
            }),
            (
                "original's aspect ratio",
                |header| {
                    if header.aspect < 1.4 { "below 1.4" } else { "1.4 and more" }
                },
            ),
        ];
        let groups = of_headers.map(|(property, group)| {
            by(property, headers.iter().map(|header| Some(group(header.as_ref()?).to_owned())))
        });
        properties.extend(groups);
    }
    properties.retain(|(_, groups)| !groups.is_empty());
    properties
}

/// Thirds of the images by each statistic, unless it is the same for all.
pub fn by_statistics(statistics: &[ImageStatistics]) -> Vec<Property> {
    let properties: [(&str, fn(&ImageStatistics) -> f64); 5] = [
        ("megapixels", |of| of.megapixels),
        ("aspect ratio", |of| of.aspect_ratio),
        ("mean level", |of| of.mean),
        ("contrast (standard deviation)", |of| of.standard_deviation),
        ("edge strength", |of| of.edge_strength),
    ];
    let thirds = |(name, value): (&str, fn(&ImageStatistics) -> f64)| {
        let mut sorted: Vec<f64> = statistics.iter().map(value).collect();
        sorted.sort_by(f64::total_cmp);
        let (first, second) = (*sorted.get(sorted.len() / 3)?, *sorted.get(sorted.len() * 2 / 3)?);
        let differs = first < second;
        let third = |of: &ImageStatistics| {
            let value = value(of);
            Some(if value < first {
                format!("1: below {first:.3}")
            } else if value < second {
                format!("2: {first:.3} to {second:.3}")
            } else {
                format!("3: {second:.3} and more")
            })
        };
        differs.then(|| by(name, statistics.iter().map(third)))
    };
    properties.into_iter().filter_map(thirds).collect()
}

/// Divides images by the group of each; images without one are left out.
pub fn by(property: &str, groups: impl Iterator<Item = Option<String>>) -> Property {
    let mut members: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (image, group) in groups.enumerate() {
        if let Some(group) = group {
            members.entry(group).or_default().push(image);
        }
    }
    (property.to_owned(), members)
}

struct Header {
    short_side: u32,
    aspect: f64,
    colour: &'static str,
}

/// `None` if the original is missing or cannot be decoded.
fn header(file: &Path) -> Option<Header> {
    let image = cxr::decode(&std::fs::read(file).ok()?, &DecodeLimits::default()).ok()?;
    Some(Header {
        short_side: image.width().min(image.height()),
        aspect: f64::from(image.width()) / f64::from(image.height()),
        colour: image.colour().name(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_one_class_has_no_auc_but_its_own_figure() {
        let sample = Sample {
            probabilities: &[0.9, 0.2, 0.8, 0.1, 0.7, 0.6],
            positive: &[true, false, true, false, true, true],
            patients: &[0, 1, 2, 3, 4, 5],
            resamples: 200,
            seed: 3,
        };
        let groups = ["a", "b", "a", "b", "a", "b"].map(|group| Some(group.to_owned()));
        let found = measure(&[by("letter", groups.into_iter())], &sample, 0.75);
        assert_eq!((found[0].group.as_str(), found[0].n, found[0].n_positive), ("a", 3, 3));
        assert!(found[0].auc.is_none() && found[0].specificity.is_none());
        assert!((found[0].sensitivity.unwrap().value - 2.0 / 3.0).abs() < 1e-12);
        assert!((found[1].auc.unwrap().value - 1.0).abs() < 1e-12);
    }
}
