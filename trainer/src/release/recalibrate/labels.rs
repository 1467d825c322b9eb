//! Labelled predictions from the service's log.

use super::rows::{Row, Standing, Statement, read};
use anyhow::{Context, Result, bail, ensure};
use cxr::decide::DecisionKind;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Columns that may say whose image it is, the first that is there. Without a person, the same upload is the same image.
const GROUP: [&str; 4] = ["subject", "patient", "pseudonym", "input_digest"];

/// What rows must agree with.
#[derive(Debug)]
pub struct Expected<'a> {
    /// Digests of bundles whose logits are those of the graph in hand.
    pub bundle_digests: &'a [String],
    /// The variant whose calibration is fitted.
    pub variant: &'a str,
    /// Class names: negative, positive.
    pub labels: &'a [String; 2],
}

/// Logits with their labels.
#[derive(Debug, Default)]
pub struct Labelled {
    /// As the network gave them.
    pub logits: Vec<f64>,
    /// Whether each is of the positive class.
    pub positive: Vec<bool>,
    /// A number for each image's patient.
    pub patients: Vec<usize>,
    /// Whether the rows say whose image each is; where they do not, each is taken as a patient of its own.
    pub grouped: bool,
    /// Rows that were passed over, by reason.
    pub passed_over: BTreeMap<String, usize>,
    /// Images by who or what found their label, where that is stated.
    pub sources: BTreeMap<String, usize>,
    /// Images that were labelled otherwise before: the latest label counts.
    pub n_relabelled: usize,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// A prediction with everything that was said of it.
struct Prediction {
    logit: f64,
    patient: String,
    labels: Vec<(bool, Statement)>,
}

/// The predictions of a log, in its order.
struct Log<'a> {
    expected: &'a Expected<'a>,
    predictions: Vec<Prediction>,
    known: BTreeMap<String, usize>,
    found: Labelled,
}

impl Labelled {
    /// Reads an export of the service's log; `-` is standard input. Rows other than labelled predictions of this model are
    /// counted and passed over.
    ///
    /// # Errors
    /// Names the line of a row that cannot be understood.
    pub fn read(file: &Path, expected: &Expected) -> Result<Self> {
        let input: Box<dyn Read> = if file == Path::new("-") {
            Box::new(std::io::stdin())
        } else {
            Box::new(File::open(file).with_context(|| format!("{}: cannot be read", file.display()))?)
        };
        let mut log =
            Log { expected, predictions: Vec::new(), known: BTreeMap::new(), found: Self::default() };
        let sha256 = read(input, |row| log.take(&row));
        let sha256 = sha256.with_context(|| format!("{}: cannot be used as labels", file.display()))?;
        Ok(Self { sha256, ..log.end() })
    }

    /// Images of each class: negative, positive.
    pub fn n_by_class(&self) -> [usize; 2] {
        let n_positive = self.positive.iter().filter(|label| **label).count();
        [self.positive.len() - n_positive, n_positive]
    }

    /// What was passed over, in words.
    pub fn passed_over(&self) -> String {
        let parts: Vec<String> = self.passed_over.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        if parts.is_empty() { "no row was passed over".to_owned() } else { parts.join(", ") }
    }
}

impl Log<'_> {
    fn take(&mut self, row: &Row) -> Result<()> {
        if let Some(reason) = self.unusable(row) {
            *self.found.passed_over.entry(reason).or_default() += 1;
            return Ok(());
        }
        let labels = row.labels.iter().map(|statement| {
            class(&statement.label, self.expected.labels).map(|positive| (positive, statement.clone()))
        });
        let labels: Vec<_> = labels.collect::<Result<_>>()?;
        let logit = row.text("logit").context("no logit: the row is of no prediction")?;
        let logit: f64 = logit.parse().with_context(|| format!("logit {logit:?} is not a number"))?;
        ensure!(logit.is_finite(), "logit {logit} is not finite");
        if let Some(earlier) = row.text("id").and_then(|id| self.known.get(id)) {
            self.predictions[*earlier].labels.extend(labels);
            *self.found.passed_over.entry("the same prediction again".to_owned()).or_default() += 1;
            return Ok(());
        }
        let n = self.predictions.len();
        self.known.extend(row.text("id").map(|id| (id.to_owned(), n)));
        let patient = GROUP.into_iter().find_map(|column| row.text(column));
        self.found.grouped |= GROUP[..3].iter().any(|column| row.text(column).is_some());
        // A row without a patient shares a name with no other: no column holds a NUL.
        let patient = patient.map_or_else(|| format!("\0{n}"), str::to_owned);
        self.predictions.push(Prediction { logit, patient, labels });
        Ok(())
    }

    /// Why a row is passed over.
    fn unusable(&self, row: &Row) -> Option<String> {
        let of = |what: &str, column: &str| {
            let value = row.text(column).map_or("unknown".to_owned(), |text| text.chars().take(40).collect());
            Some(format!("{what} ({value})"))
        };
        let differs =
            |column: &str, fits: &dyn Fn(&str) -> bool| row.text(column).is_some_and(|text| !fits(text));
        match row.standing {
            Standing::Gone => return Some("taken by retention".to_owned()),
            Standing::Foreign => {
                return Some("not of the service: run `cxr-service audit verify`".to_owned());
            }
            Standing::Present => {}
        }
        if differs("outcome", &|outcome| outcome == "predicted") {
            return of("without a prediction", "outcome");
        }
        // The probability is for images that get one: a referred image was told none.
        if differs("decision", &|decision| decision != DecisionKind::Refer.code()) {
            return Some("referred".to_owned());
        }
        // Logits of other weights mean something else.
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

    fn end(self) -> Labelled {
        let Self { predictions, mut found, .. } = self;
        let mut patients = BTreeMap::new();
        for Prediction { logit, patient, labels } in predictions {
            let Some((positive, source)) = latest(&labels) else {
                *found
                    .passed_over
                    .entry("with labels of one time that contradict each other".to_owned())
                    .or_default() += 1;
                continue;
            };
            found.n_relabelled += usize::from(labels.iter().any(|(other, _)| *other != positive));
            if let Some(source) = source {
                *found.sources.entry(source.to_owned()).or_default() += 1;
            }
            let next = patients.len();
            found.patients.push(*patients.entry(patient).or_insert(next));
            found.logits.push(logit);
            found.positive.push(positive);
        }
        found
    }
}

/// The label that counts, as the log counts it: found last, and of two found at the same moment, written down last. None where the last
/// ones contradict each other.
fn latest(labels: &[(bool, Statement)]) -> Option<(bool, Option<&str>)> {
    let last = labels.iter().map(|(_, statement)| statement.at).max()?;
    let mut counting = labels.iter().filter(|(_, statement)| statement.at == last);
    let (positive, statement) = counting.next()?;
    counting.all(|(other, _)| other == positive).then_some((*positive, statement.source.as_deref()))
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
