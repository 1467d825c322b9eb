//! Confounders: what the table says of an image, or how its file is stored, where that alone tells the class. A network learns it in
//! place of the finding. The published test split takes no part.

use super::survey::{Facts, Survey};
use crate::data::columns::Column;
use crate::data::entry::{Entry, OfficialSplit};
use crate::data::index::Index;
use cxr::analysis::scoring::bootstrap::interval95;
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::Measured;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Resamples of the patients behind an interval.
const RESAMPLES: usize = 200;
/// Parts of the patients: the score of an image comes from the other parts.
const PARTS: usize = 5;
/// Groups in which a number is sorted by size.
const BINS: usize = 8;
/// Lower bound of the area under the curve from which a property counts as one that tells the class.
const TELLING: f64 = 0.7;
/// A value of the table that only one class has is told where chance would do so less often than this.
const CHANCE: f64 = 0.001;
/// Groups that one line names.
const NAMED: usize = 8;

/// How well one property tells the class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confounder {
    /// The property.
    pub property: String,
    /// Where it is from.
    pub source: Source,
    /// Area under the curve of the share of positives among other patients' images with the same value.
    pub auc: Measured,
    /// Images by value.
    pub groups: BTreeMap<String, ByClass>,
}

/// Where a property is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A column of the table.
    Table,
    /// The file.
    File,
}

/// Images by label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByClass {
    /// Of a negative class.
    pub negative: usize,
    /// Of a positive class.
    pub positive: usize,
}

impl Confounder {
    /// Whether it tells the class, beyond what chance would.
    pub fn tells(&self) -> bool {
        self.auc.ci95[0] >= TELLING
    }

    /// Values of the table that only images of one class have, more often than chance would have it: whoever sees such a value knows the
    /// class, although the property as a whole may tell little.
    pub fn one_class(&self) -> Vec<OneClass<'_>> {
        if self.source != Source::Table {
            return Vec::new();
        }
        let sum = |of: fn(&ByClass) -> usize| self.groups.values().map(of).sum::<usize>() as f64;
        let (negative, positive) = (sum(|n| n.negative), sum(|n| n.positive));
        let all = negative + positive;
        let only = |(value, n): (&String, &ByClass)| {
            let (share, n, class) = match (n.negative, n.positive) {
                (0, n) => (positive / all, n, "positive"),
                (n, 0) => (negative / all, n, "negative"),
                _ => return None,
            };
            (share.powi(i32::try_from(n).unwrap_or(i32::MAX)) < CHANCE).then(|| (value.clone(), n, class))
        };
        let found = self.groups.iter().filter_map(only);
        found.map(|(value, n, class)| OneClass { property: &self.property, value, n, class }).collect()
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let [low, high] = self.auc.ci95;
        let group = |(value, n): (&String, &ByClass)| {
            format!("{value}: {} of {}", n.positive, n.negative + n.positive)
        };
        let mut groups: Vec<String> = self.groups.iter().take(NAMED).map(group).collect();
        if self.groups.len() > NAMED {
            groups.push(format!("and {} more values", self.groups.len() - NAMED));
        }
        let what = match self.source {
            Source::Table => "column of the table",
            Source::File => "property of the files",
        };
        format!(
            "{} ({what}) alone tells the class with AUC {:.3} [{low:.3}, {high:.3}]; positive: {}",
            self.property,
            self.auc.value,
            groups.join(", ")
        )
    }
}

/// A value that only one class has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneClass<'a> {
    /// The property.
    pub property: &'a str,
    /// Its value.
    pub value: String,
    /// Images with it.
    pub n: usize,
    /// Their class.
    pub class: &'static str,
}

impl std::fmt::Display for OneClass<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "all {} images of {} {} are {}", self.n, self.property, self.value, self.class)
    }
}

/// What to print: those that tell the class, and what to do about them.
pub fn lines(found: &[Confounder]) -> Vec<String> {
    let mut lines: Vec<String> =
        found.iter().filter(|one| one.tells()).map(|one| format!("  {}", one.line())).collect();
    lines.extend(found.iter().flat_map(Confounder::one_class).map(|one| format!("  {one}")));
    if !lines.is_empty() {
        lines.insert(0, "CONFOUNDED: a network can learn this in place of the finding; collect both classes alike, or test it on data where it differs:".to_owned());
    }
    lines
}

/// Every property that has several values, the most telling first.
pub fn find(index: &Index, survey: &Survey, seed: u64) -> Vec<Confounder> {
    let known: Vec<(&Entry, Option<&Facts>)> = index
        .entries
        .iter()
        .zip(&survey.facts)
        .map(|(entry, facts)| (entry, facts.as_ref()))
        .filter(|(entry, _)| entry.split != OfficialSplit::Test)
        .collect();
    let of_table = Column::ALL.into_iter().map(|column| {
        let values = known.iter().map(|(entry, _)| entry.columns.get(&column).cloned()).collect();
        (column.property(), Source::Table, values)
    });
    let named = |of: fn(&Entry, &Facts) -> String| {
        known.iter().map(|(entry, facts)| facts.map(|facts| of(entry, facts))).collect::<Vec<_>>()
    };
    let sized =
        |of: fn(&Facts) -> f64| binned(&known.iter().map(|(_, facts)| facts.map(of)).collect::<Vec<_>>());
    let of_files = [
        ("format", named(|_, facts| facts.format.title().to_owned())),
        ("ending of the file name", named(|entry, _| ending(entry))),
        ("colour mode", named(|_, facts| facts.colour.name().to_owned())),
        ("significant bits", named(|_, facts| facts.bits.to_string())),
        ("short side", sized(|facts| f64::from(facts.width.min(facts.height)))),
        ("aspect ratio", sized(|facts| facts.statistics.aspect_ratio)),
        ("bytes", sized(|facts| facts.bytes as f64)),
    ];
    let of_files = of_files.into_iter().map(|(property, values)| (property, Source::File, values));
    let mut found: Vec<Confounder> = of_table
        .chain(of_files)
        .filter_map(|(property, source, values)| measured(property, source, &known, &values, seed))
        .collect();
    found.sort_by(|a, b| b.auc.value.total_cmp(&a.auc.value));
    found
}

fn ending(entry: &Entry) -> String {
    entry.file_name().rsplit_once('.').map_or_else(|| "none".to_owned(), |(_, ending)| ending.to_lowercase())
}

/// Values as groups of about the same size; the same value is never in two of them.
fn binned(values: &[Option<f64>]) -> Vec<Option<String>> {
    let mut sorted: Vec<f64> = values.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let mut starts: Vec<f64> =
        (0..BINS).filter_map(|bin| sorted.get(sorted.len() * bin / BINS).copied()).collect();
    starts.dedup();
    let bin = |value: f64| {
        let at = starts.iter().rposition(|start| *start <= value).unwrap_or(0);
        let width = starts.len().to_string().len();
        match starts.get(at + 1) {
            Some(next) => format!("{:0width$}: {} to {}", at + 1, short(starts[at]), short(*next)),
            None => format!("{:0width$}: {} and more", at + 1, short(starts[at])),
        }
    };
    values.iter().map(|value| value.map(bin)).collect()
}

/// A number with the digits that tell it from its neighbours.
fn short(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

fn measured(
    property: &str,
    source: Source,
    known: &[(&Entry, Option<&Facts>)],
    values: &[Option<String>],
    seed: u64,
) -> Option<Confounder> {
    let images: Vec<(&Entry, &str)> = known
        .iter()
        .zip(values)
        .filter_map(|((entry, _), value)| Some((*entry, value.as_deref()?)))
        .collect();
    let mut groups: BTreeMap<String, ByClass> = BTreeMap::new();
    for (entry, value) in &images {
        let of_value = groups.entry((*value).to_owned()).or_default();
        *(if entry.positive { &mut of_value.positive } else { &mut of_value.negative }) += 1;
    }
    if groups.len() < 2 {
        return None;
    }
    let patients = numbered(&images);
    let positive: Vec<bool> = images.iter().map(|(entry, _)| entry.positive).collect();
    let scores = scores(&images, &patients);
    let of = |images: &[usize]| {
        let s: Vec<f64> = images.iter().map(|i| scores[*i]).collect();
        let y: Vec<bool> = images.iter().map(|i| positive[*i]).collect();
        auc(&s, &y)
    };
    let (value, ci95) = (auc(&scores, &positive)?, interval95(&patients, RESAMPLES, seed, of)?);
    let auc = Measured { value, ci95, n: images.len() };
    Some(Confounder { property: property.to_owned(), source, auc, groups })
}

/// A number for every patient, by image.
fn numbered(images: &[(&Entry, &str)]) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    images
        .iter()
        .map(|(entry, _)| {
            let next = numbers.len();
            *numbers.entry(entry.patient.as_str()).or_insert(next)
        })
        .collect()
}

/// The share of positives among the images with the same value whose patients are in another part, drawn towards one half where they
/// are few: a value that one patient has tells nothing.
fn scores(images: &[(&Entry, &str)], patients: &[usize]) -> Vec<f64> {
    let mut counts: BTreeMap<(&str, usize), [usize; 2]> = BTreeMap::new();
    for ((entry, value), patient) in images.iter().zip(patients) {
        counts.entry((*value, patient % PARTS)).or_default()[usize::from(entry.positive)] += 1;
    }
    let values: BTreeSet<&str> = images.iter().map(|(_, value)| *value).collect();
    let share = |value: &str, part: usize| {
        let others =
            (0..PARTS).filter(|other| *other != part).filter_map(|other| counts.get(&(value, other)));
        let [negative, positive] = others.fold([1, 1], |sum, n| [sum[0] + n[0], sum[1] + n[1]]);
        positive as f64 / (negative + positive) as f64
    };
    let shares: BTreeMap<(&str, usize), f64> = values
        .iter()
        .flat_map(|value| (0..PARTS).map(|part| ((*value, part), share(value, part))).collect::<Vec<_>>())
        .collect();
    images.iter().zip(patients).map(|((_, value), patient)| shares[&(*value, patient % PARTS)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_only_one_class_has_is_told_although_the_property_tells_little() {
        let by = |negative, positive| ByClass { negative, positive };
        let groups = [("East", by(0, 45)), ("North", by(70, 65)), ("South", by(25, 22)), ("West", by(0, 2))];
        let mut site = Confounder {
            property: "site".to_owned(),
            source: Source::Table,
            auc: Measured { value: 0.6564, ci95: [0.5801, 0.7229], n: 229 },
            groups: groups.map(|(value, n)| (value.to_owned(), n)).into(),
        };
        let expected = "all 45 images of site East are positive";
        assert_eq!(site.one_class().iter().map(OneClass::to_string).collect::<Vec<_>>(), [expected]);
        let printed = lines(std::slice::from_ref(&site));
        assert!(printed[0].contains("CONFOUNDED") && printed[1].contains(expected), "{printed:?}");
        site.groups.insert("East".to_owned(), by(1, 44));
        assert_eq!(lines(&[site]), Vec::<String>::new());
    }
}
