//! Confounders: columns of the table or properties of the files that predict the class by themselves. A
//! network can learn them instead of the finding. The published test split is left out.

use super::survey::{Facts, Survey};
use crate::data::columns::Column;
use crate::data::entry::{Entry, OfficialSplit};
use crate::data::index::Index;
use cxr::analysis::scoring::bootstrap::interval95;
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::Measured;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Bootstrap resamples of the patients for an interval. Two digits suffice.
const RESAMPLES: usize = 200;
const FOLDS: usize = 5;
const BINS: usize = 8;
/// Lower bound of the AUC's interval from which a property counts as a confounder.
const MIN_AUC: f64 = 0.7;
/// Probability by chance below which a value that only one class has is reported.
const CHANCE: f64 = 0.001;
const NAMED: usize = 8;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confounder {
    pub property: String,
    pub source: Source,
    /// AUC of the cross-validated share of positives among images with the same value.
    pub auc: Measured,
    pub groups: BTreeMap<String, ByClass>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Table,
    File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByClass {
    pub negative: usize,
    pub positive: usize,
}

impl Confounder {
    pub fn is_confounder(&self) -> bool {
        self.auc.ci95[0] >= MIN_AUC
    }

    /// Values of the table in one class only, beyond chance, even if the AUC of the property is low.
    pub fn one_class(&self) -> Vec<String> {
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
            (share.powi(i32::try_from(n).unwrap_or(i32::MAX)) < CHANCE)
                .then(|| format!("all {n} images of {} {value} are {class}", self.property))
        };
        self.groups.iter().filter_map(only).collect()
    }

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
            "{} ({what}) alone predicts the class with AUC {:.3} [{low:.3}, {high:.3}]; positive: {}",
            self.property,
            self.auc.value,
            groups.join(", ")
        )
    }
}

pub fn lines(found: &[Confounder]) -> Vec<String> {
    let mut lines: Vec<String> =
        found.iter().filter(|one| one.is_confounder()).map(|one| format!("  {}", one.line())).collect();
    lines.extend(found.iter().flat_map(Confounder::one_class).map(|one| format!("  {one}")));
    if !lines.is_empty() {
        lines.insert(0, "CONFOUNDED: a network can learn this instead of the finding; collect both classes in the same way, or test on data where it differs:".to_owned());
    }
    lines
}

/// All properties with several values, by descending AUC.
pub fn find(index: &Index, survey: &Survey, seed: u64) -> Vec<Confounder> {
    let images = index.entries.iter().zip(&survey.facts);
    let known = images.filter(|(entry, _)| entry.split != OfficialSplit::Test);
    let known: Vec<(&Entry, Option<&Facts>)> = known.map(|(entry, facts)| (entry, facts.as_ref())).collect();
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

/// Quantile bins; equal values are in the same bin.
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
    let images = known.iter().zip(values);
    let images: Vec<(&Entry, &str)> =
        images.filter_map(|((entry, _), value)| Some((*entry, value.as_deref()?))).collect();
    let mut groups: BTreeMap<String, ByClass> = BTreeMap::new();
    for (entry, value) in &images {
        let of_value = groups.entry((*value).to_owned()).or_default();
        *(if entry.positive { &mut of_value.positive } else { &mut of_value.negative }) += 1;
    }
    if groups.len() < 2 {
        return None;
    }
    let entries: Vec<&Entry> = images.iter().map(|(entry, _)| *entry).collect();
    let patients = patient_numbers(&entries);
    let auc = measured_auc(&scores(&images, &patients), &entries, seed)?;
    Some(Confounder { property: property.to_owned(), source, auc, groups })
}

/// The patient of each image as a number, counted from 0.
fn patient_numbers(entries: &[&Entry]) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    let mut patients = Vec::new();
    for entry in entries {
        let next = numbers.len();
        patients.push(*numbers.entry(entry.patient.as_str()).or_insert(next));
    }
    patients
}

/// AUC of one score per image, with its bootstrap interval over patients; none without both classes.
pub(crate) fn measured_auc(scores: &[f64], entries: &[&Entry], seed: u64) -> Option<Measured> {
    let of = |images: &[usize]| {
        let scores: Vec<f64> = images.iter().map(|i| scores[*i]).collect();
        let positive: Vec<bool> = images.iter().map(|i| entries[*i].positive).collect();
        auc(&scores, &positive)
    };
    let value = of(&(0..entries.len()).collect::<Vec<_>>())?;
    let ci95 = interval95(&patient_numbers(entries), RESAMPLES, seed, of)?;
    Some(Measured { value, ci95, n: entries.len() })
}

/// Share of positives among the images with the same value in the other folds, shrunk towards one half so
/// that a value of a single patient predicts nothing.
fn scores(images: &[(&Entry, &str)], patients: &[usize]) -> Vec<f64> {
    let mut counts: BTreeMap<(&str, usize), [usize; 2]> = BTreeMap::new();
    for ((entry, value), patient) in images.iter().zip(patients) {
        counts.entry((*value, patient % FOLDS)).or_default()[usize::from(entry.positive)] += 1;
    }
    let values: BTreeSet<&str> = images.iter().map(|(_, value)| *value).collect();
    let share = |value: &str, fold: usize| {
        let others =
            (0..FOLDS).filter(|other| *other != fold).filter_map(|other| counts.get(&(value, other)));
        let [negative, positive] = others.fold([1, 1], |sum, n| [sum[0] + n[0], sum[1] + n[1]]);
        positive as f64 / (negative + positive) as f64
    };
    let shares: BTreeMap<(&str, usize), f64> = values
        .iter()
        .flat_map(|value| (0..FOLDS).map(|fold| ((*value, fold), share(value, fold))).collect::<Vec<_>>())
        .collect();
    images.iter().zip(patients).map(|((_, value), patient)| shares[&(*value, patient % FOLDS)]).collect()
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
        assert_eq!(site.one_class(), [expected]);
        let printed = lines(std::slice::from_ref(&site));
        assert!(printed[0].contains("CONFOUNDED") && printed[1].contains(expected), "{printed:?}");
        site.groups.insert("East".to_owned(), by(1, 44));
        assert_eq!(lines(&[site]), Vec::<String>::new());
    }
}
