//! Figures by group: what the table, the file name, the stored image and the original's header tell apart. Groups are small; each has
//! its n and its intervals.

use crate::data::columns::Column;
use crate::data::patient::by_pattern;
use crate::data::pixels::Pixels;
use crate::measure::sample::Sample;
use cxr::DecodeLimits;
use cxr::analysis::scoring::confusion::ConfusionMatrix;
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
    pub auc: Option<Measured>,
    pub sensitivity: Option<Measured>,
    pub specificity: Option<Measured>,
}

/// Groups of images by property and group: the property in the order of its first appearance.
pub type Groups = Vec<(String, BTreeMap<String, Vec<usize>>)>;

pub fn measure(groups: &Groups, sample: &Sample, threshold: f64) -> Vec<Subgroup> {
    let one = |property: &str, group: &str, members: &[usize]| {
        let subset = sample.subset(members);
        let sample = subset.as_sample(sample);
        let (n, n_positive) = (sample.len(), sample.n_positive());
        let at = |p: &[f64], y: &[bool]| ConfusionMatrix::at(p, y, threshold);
        Subgroup {
            property: property.to_owned(),
            group: group.to_owned(),
            n,
            n_positive,
            auc: sample.measured(n, &auc),
            sensitivity: sample.measured(n_positive, &|p, y| at(p, y).sensitivity()),
            specificity: sample.measured(n - n_positive, &|p, y| at(p, y).specificity()),
        }
    };
    let of_property = |(property, groups): &(String, BTreeMap<String, Vec<usize>>)| {
        groups.iter().map(|(group, members)| one(property, group, members)).collect::<Vec<_>>()
    };
    groups.iter().flat_map(of_property).collect()
}

/// The groups of a fold. `names` are regular expressions over the files' names whose first group is the subgroup; `originals` holds untouched
/// originals of some images under the same paths.
pub fn of_fold(pixels: &Pixels, names: &[(String, Regex)], originals: Option<&Path>) -> Groups {
    let entries = &pixels.entries;
    // Where several classes count as one, each has its own figure.
    let classes: BTreeSet<&str> = entries.iter().map(|entry| entry.class.as_str()).collect();
    let of_class =
        (classes.len() > 2).then(|| by("class", entries.iter().map(|entry| Some(entry.class.clone()))));
    let of_table = Column::ALL
        .into_iter()
        .map(|column| by(column.property(), entries.iter().map(|entry| entry.columns.get(&column).cloned())));
    let of_names = names.iter().map(|(property, pattern)| {
        by(property, entries.iter().map(|entry| by_pattern(entry.file_name(), pattern)))
    });
    let mut groups: Groups = of_class.into_iter().chain(of_table).chain(of_names).collect();
    groups.extend(by_statistics(&pixels.statistics));
    let headers: Vec<Option<Header>> =
        entries.iter().map(|entry| header(&originals?.join(&entry.path))).collect();
    if headers.iter().any(Option::is_some) {
        groups
            .push(by("original's colour mode", headers.iter().map(|h| Some(h.as_ref()?.colour.to_owned()))));
        let side =
            |header: &Header| if header.short_side < 1000 { "below 1000 px" } else { "1000 px and more" };
        groups.push(by("original's short side", headers.iter().map(|h| Some(side(h.as_ref()?).to_owned()))));
        let shape = |header: &Header| if header.aspect < 1.4 { "below 1.4" } else { "1.4 and more" };
        groups
            .push(by("original's aspect ratio", headers.iter().map(|h| Some(shape(h.as_ref()?).to_owned()))));
    }
    groups.retain(|(_, groups)| !groups.is_empty());
    groups
}

/// Thirds by size, shape, level and sharpness of the accepted images; what is the same for all makes no groups.
pub fn by_statistics(statistics: &[ImageStatistics]) -> Groups {
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

/// Images by group; those without one are left out.
pub fn by(
    property: &str,
    groups: impl Iterator<Item = Option<String>>,
) -> (String, BTreeMap<String, Vec<usize>>) {
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

/// Of an original where there is one that can be decoded.
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
    fn a_group_of_one_class_has_no_area_and_keeps_its_own_figure() {
        let sample = Sample {
            probabilities: &[0.9, 0.2, 0.8, 0.1, 0.7, 0.6],
            positive: &[true, false, true, false, true, true],
            patients: &[0, 1, 2, 3, 4, 5],
            resamples: 200,
            seed: 3,
        };
        let groups = ["a", "b", "a", "b", "a", "b"].map(|group| Some(group.to_owned()));
        let found = measure(&vec![by("letter", groups.into_iter())], &sample, 0.75);
        assert_eq!((found[0].group.as_str(), found[0].n, found[0].n_positive), ("a", 3, 3));
        assert!(found[0].auc.is_none() && found[0].specificity.is_none());
        assert!((found[0].sensitivity.unwrap().value - 2.0 / 3.0).abs() < 1e-12);
        assert!((found[1].auc.unwrap().value - 1.0).abs() < 1e-12);
    }
}
