//! Labelled predictions from the service's audit log.

use super::measured::{LoggedMeasurements, RowMeasurements};
use super::rows::{Label, Row, RowState, read};
use anyhow::{Context, Result, bail, ensure};
use cxr::decide::DecisionKind;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Columns that may identify the patient, in order of preference. Failing those, equal uploads are grouped.
const GROUP: [&str; 4] = ["subject", "patient", "pseudonym", "input_digest"];

#[derive(Debug)]
pub struct Expected<'a> {
    /// Bundles with the same graph.
    pub bundle_digests: &'a [String],
    pub variant: &'a str,
    /// Class names: negative, positive.
    pub labels: &'a [String; 2],
}

#[derive(Debug, Default)]
pub struct Labelled {
    pub logits: Vec<f64>,
    pub positive: Vec<bool>,
    /// Index of the patient of each image.
    pub patients: Vec<usize>,
    /// Whether any row identifies its patient. An image without a patient counts as one of its own.
    pub grouped: bool,
    /// By reason.
    pub skipped: BTreeMap<String, usize>,
    /// Images by source of their label, as far as it is stated.
    pub sources: BTreeMap<String, usize>,
    /// Images whose current label differs from an earlier one.
    pub n_relabelled: usize,
    pub measured: LoggedMeasurements,
    pub sha256: String,
}

struct Prediction {
    logit: f64,
    patient: String,
    labels: Vec<(bool, Label)>,
    measured: RowMeasurements,
}

struct Log<'a> {
    expected: &'a Expected<'a>,
    predictions: Vec<Prediction>,
    known: BTreeMap<String, usize>,
    found: Labelled,
}

impl Labelled {
    /// Reads an export of the log; `-` is standard input. Counts and skips rows other than labelled
    /// predictions of this model; fails on a row that cannot be parsed.
    pub fn read(file: &Path, expected: &Expected) -> Result<Self> {
        let input: Box<dyn Read> = if file == Path::new("-") {
            Box::new(std::io::stdin())
        } else {
            Box::new(File::open(file).with_context(|| format!("{}: cannot be read", file.display()))?)
        };
        let mut log =
            Log { expected, predictions: Vec::new(), known: BTreeMap::new(), found: Self::default() };
        let sha256 = read(input, |row| log.add(&row));
        let sha256 = sha256.with_context(|| format!("{}: cannot be used as labels", file.display()))?;
        Ok(Self { sha256, ..log.finish() })
    }

    /// Negative, positive.
    pub fn n_by_class(&self) -> [usize; 2] {
        let n_positive = self.positive.iter().filter(|label| **label).count();
        [self.positive.len() - n_positive, n_positive]
    }

    pub fn skipped(&self) -> String {
        let parts: Vec<String> = self.skipped.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        if parts.is_empty() { "no row was skipped".to_owned() } else { parts.join(", ") }
    }
}

impl Log<'_> {
    fn add(&mut self, row: &Row) -> Result<()> {
        if let Some(reason) = self.reason_to_skip(row) {
            *self.found.skipped.entry(reason).or_default() += 1;
            return Ok(());
        }
        let labels = row
            .labels
            .iter()
            .map(|label| class(&label.class, self.expected.labels).map(|positive| (positive, label.clone())));
        let labels: Vec<_> = labels.collect::<Result<_>>()?;
        let logit = row.text("logit").context("no logit, although the row is a prediction")?;
        let logit: f64 = logit.parse().with_context(|| format!("logit {logit:?} is not a number"))?;
        ensure!(logit.is_finite(), "logit {logit} is not finite");
        if let Some(earlier) = row.text("id").and_then(|id| self.known.get(id)) {
            self.predictions[*earlier].labels.extend(labels);
            *self.found.skipped.entry("the same prediction again".to_owned()).or_default() += 1;
            return Ok(());
        }
        let n = self.predictions.len();
        self.known.extend(row.text("id").map(|id| (id.to_owned(), n)));
        let patient = GROUP.into_iter().find_map(|column| row.text(column));
        self.found.grouped |= GROUP[..3].iter().any(|column| row.text(column).is_some());
        // Unique, since no column holds a NUL.
        let patient = patient.map_or_else(|| format!("\0{n}"), str::to_owned);
        let measured = RowMeasurements::of(row)?;
        self.predictions.push(Prediction { logit, patient, labels, measured });
        Ok(())
    }

    fn reason_to_skip(&self, row: &Row) -> Option<String> {
        let of = |what: &str, column: &str| {
            let value = row.text(column).map_or("unknown".to_owned(), |text| text.chars().take(40).collect());
            Some(format!("{what} ({value})"))
        };
        let differs =
            |column: &str, fits: &dyn Fn(&str) -> bool| row.text(column).is_some_and(|text| !fits(text));
        match row.state {
            RowState::Dropped => return Some("dropped by retention".to_owned()),
            RowState::Foreign => {
                return Some("not written by the service: run `cxr-service audit verify`".to_owned());
            }
            RowState::Present => {}
        }
        if differs("outcome", &|outcome| outcome == "predicted") {
            return of("without a prediction", "outcome");
        }
        // The calibration is for images that get a probability; a referred image gets none.
        if differs("decision", &|decision| decision != DecisionKind::Refer.code()) {
            return Some("referred".to_owned());
        }
        if differs("bundle_digest", &|digest| {
            self.expected.bundle_digests.iter().any(|known| known == digest)
        }) {
            return of("of another bundle", "model_version");
        }
        if differs("variant", &|variant| variant == self.expected.variant) {
            return of("of another variant", "variant");
        }
        row.labels.is_empty().then(|| "without a label".to_owned())
    }

    fn finish(self) -> Labelled {
        let Self { predictions, mut found, .. } = self;
        let (mut patients, mut rows) = (BTreeMap::new(), Vec::new());
        for Prediction { logit, patient, labels, measured } in predictions {
            let Some((positive, source)) = current(&labels) else {
                *found.skipped.entry("with contradicting labels of the same time".to_owned()).or_default() +=
                    1;
                continue;
            };
            found.n_relabelled += usize::from(labels.iter().any(|(other, _)| *other != positive));
            if let Some(source) = source {
                *found.sources.entry(source.to_owned()).or_default() += 1;
            }
            let next = patients.len();
            found.patients.push(*patients.entry(patient).or_insert(next));
            found.logits.push(logit);
            rows.push(measured);
            found.positive.push(positive);
        }
        found.measured = LoggedMeasurements::of(&rows);
        found
    }
}

/// The current label and its source: the latest `labelled_at`, then the latest `recorded_at`. None if labels
/// of the same times contradict each other.
fn current(labels: &[(bool, Label)]) -> Option<(bool, Option<&str>)> {
    let last = labels.iter().map(|(_, label)| label.times).max()?;
    let mut counting = labels.iter().filter(|(_, label)| label.times == last);
    let (positive, label) = counting.next()?;
    counting.all(|(other, _)| other == positive).then_some((*positive, label.source.as_deref()))
}

fn class(label: &str, names: &[String; 2]) -> Result<bool> {
    let label = label.to_lowercase();
    let [negative, positive] = names.each_ref().map(|name| name.to_lowercase());
    match label.as_str() {
        "1" | "true" | "positive" => Ok(true),
        "0" | "false" | "negative" => Ok(false),
        label if label == positive => Ok(true),
        label if label == negative => Ok(false),
        _ => bail!("label {label:?} is neither positive nor negative (nor {}, {}, 1, 0)", names[1], names[0]),
    }
}

#[cfg(test)]
mod tests;
