//! Labelled predictions from the service's log: which rows count, and what each says.

use anyhow::{Context, Result, bail, ensure};
use cxr::bundle::sha256_hex;
use cxr::decide::Verdict;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Columns that may say whose image it is, the first that is there.
const GROUP: [&str; 3] = ["subject", "patient", "pseudonym"];

/// What rows must agree with.
#[derive(Debug)]
pub struct Expected<'a> {
    /// Digests of bundles whose logits are those of the graph in hand.
    pub bundle_digests: &'a [String],
    /// The variant that is served.
    pub variant: &'a str,
    /// Class names: negative, positive.
    pub labels: &'a [String; 2],
}

/// Logits with their labels.
#[derive(Debug, Default)]
pub struct Labelled {
    /// As the network gave them.
    pub logits: Vec<f64>,
    /// Whether each is a pneumonia.
    pub positive: Vec<bool>,
    /// A number for each image's patient.
    pub patients: Vec<usize>,
    /// Whether the rows say whose image each is; where they do not, each is taken as a patient of its own.
    pub grouped: bool,
    /// Rows that were passed over, by reason.
    pub passed_over: BTreeMap<String, usize>,
    /// SHA-256 of the file.
    pub sha256: String,
}

type Row = Map<String, Value>;

impl Labelled {
    /// Reads a CSV or NDJSON file. Rows without a label or without a prediction are counted and passed over.
    ///
    /// # Errors
    /// Names the line of a row that is malformed, belongs to another model, or contradicts another row.
    pub fn read(file: &Path, expected: &Expected) -> Result<Self> {
        let bytes = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
        let ending = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let rows =
            if matches!(ending.as_str(), "ndjson" | "jsonl") { ndjson(&bytes) } else { csv_rows(&bytes) };
        let rows = rows.with_context(|| format!("{}: cannot be understood", file.display()))?;
        let mut labelled = Self { sha256: sha256_hex(&bytes), ..Self::default() };
        let (mut known, mut patients) = (BTreeMap::new(), BTreeMap::new());
        for (line, row) in &rows {
            labelled
                .take(row, expected, &mut known, &mut patients)
                .with_context(|| format!("{}: line {line}", file.display()))?;
        }
        Ok(labelled)
    }

    fn take(
        &mut self,
        row: &Row,
        expected: &Expected,
        known: &mut BTreeMap<String, bool>,
        patients: &mut BTreeMap<String, usize>,
    ) -> Result<()> {
        let mut pass_over = |reason: &str| *self.passed_over.entry(reason.to_owned()).or_default() += 1;
        if text(row, "outcome").is_some_and(|outcome| outcome != "predicted") {
            pass_over("no prediction");
            return Ok(());
        }
        // The probability is for images that get one: a referred image was told none.
        if text(row, "decision").is_some_and(|decision| decision == Verdict::Refer.code()) {
            pass_over("referred");
            return Ok(());
        }
        let Some(label) = text(row, "label") else {
            pass_over("no label");
            return Ok(());
        };
        let positive = class(&label, expected.labels)?;
        if let Some(id) = text(row, "id") {
            match known.insert(id.clone(), positive) {
                Some(before) if before != positive => {
                    bail!("the prediction {id} has two labels that contradict each other: keep the right one")
                }
                Some(_) => {
                    pass_over("same prediction again");
                    return Ok(());
                }
                None => {}
            }
        }
        check_model(row, expected)?;
        let logit = text(row, "logit").context("no logit: export the column `logit` with the labels")?;
        let logit: f64 = logit.parse().with_context(|| format!("logit {logit:?} is no number"))?;
        ensure!(logit.is_finite(), "logit {logit} is not finite");
        let group = GROUP.into_iter().find_map(|column| text(row, column));
        self.grouped |= group.is_some();
        // A row without a patient shares a name with no other: no column holds a NUL.
        let group = group.unwrap_or_else(|| format!("\0{}", patients.len()));
        let next = patients.len();
        self.patients.push(*patients.entry(group).or_insert(next));
        self.logits.push(logit);
        self.positive.push(positive);
        Ok(())
    }

    /// Rows of each class: negative, positive.
    pub fn n_by_class(&self) -> [usize; 2] {
        let n_positive = self.positive.iter().filter(|label| **label).count();
        [self.positive.len() - n_positive, n_positive]
    }
}

/// Logits of other weights mean something else.
fn check_model(row: &Row, expected: &Expected) -> Result<()> {
    if let Some(digest) = text(row, "bundle_digest") {
        ensure!(
            expected.bundle_digests.contains(&digest),
            "the prediction was made by bundle {digest}, this is {}: its logits belong to other weights",
            expected.bundle_digests.first().map_or("", String::as_str)
        );
    }
    if let Some(variant) = text(row, "variant") {
        ensure!(
            variant == expected.variant,
            "the prediction was made by variant {variant:?}, not {:?}",
            expected.variant
        );
    }
    Ok(())
}

fn class(label: &str, names: &[String; 2]) -> Result<bool> {
    let label = label.to_lowercase();
    let [negative, positive] = names.each_ref().map(|name| name.to_lowercase());
    match label.as_str() {
        "1" | "true" | "positive" => Ok(true),
        "0" | "false" | "negative" => Ok(false),
        label if label == positive => Ok(true),
        label if label == negative => Ok(false),
        _ => bail!("label {label:?} is neither {} nor {} (nor 0, 1, positive, negative)", names[0], names[1]),
    }
}

/// A column's text; none where it is absent, empty or null.
fn text(row: &Row, column: &str) -> Option<String> {
    let text = match row.get(column)? {
        Value::Null => return None,
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    (!text.is_empty()).then_some(text)
}

/// Rows with their line numbers.
fn ndjson(bytes: &[u8]) -> Result<Vec<(usize, Row)>> {
    let text = std::str::from_utf8(bytes).context("it is not UTF-8")?;
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines
        .map(|(line, number)| {
            let row =
                serde_json::from_str(line).with_context(|| format!("line {number} is no JSON object"))?;
            Ok((number, row))
        })
        .collect()
}

fn csv_rows(bytes: &[u8]) -> Result<Vec<(usize, Row)>> {
    let mut reader = csv::Reader::from_reader(bytes);
    let names = reader.headers()?.clone();
    for column in ["logit", "label"] {
        ensure!(names.iter().any(|name| name == column), "it has no column `{column}`");
    }
    reader
        .records()
        .map(|record| {
            let record = record?;
            let line = record.position().map_or(0, csv::Position::line) as usize;
            let cells = names.iter().zip(&record);
            Ok((line, cells.map(|(name, cell)| (name.to_owned(), cell.into())).collect()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, content: &str) -> Result<Labelled> {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        let labels = ["NORMAL".to_owned(), "PNEUMONIA".to_owned()];
        let expected = Expected { bundle_digests: &["ab".to_owned()], variant: "fp32", labels: &labels };
        Labelled::read(&file, &expected)
    }

    #[test]
    fn both_forms_say_the_same_and_nothing_is_dropped_in_silence() {
        let csv = "id,outcome,logit,label,subject,bundle_digest,decision\n\
                   a,predicted,1.5,PNEUMONIA,x,ab,positive\nb,predicted,-2,normal,x,ab,negative\nc,rejected,,,,,\n\
                   d,predicted,0.5,,y,ab,negative\na,predicted,1.5,1,x,ab,positive\ne,predicted,9.5,1,z,ab,refer\n";
        let ndjson = "{\"id\":\"a\",\"outcome\":\"predicted\",\"logit\":1.5,\"label\":1,\"subject\":\"x\"}\n\
                      {\"id\":\"b\",\"logit\":-2.0,\"label\":\"negative\",\"subject\":\"x\",\"variant\":\"fp32\"}\n";
        for found in [read("l.csv", csv).unwrap(), read("l.ndjson", ndjson).unwrap()] {
            assert_eq!(found.positive, [true, false]);
            assert!((found.logits[0] - 1.5).abs() < 1e-12 && (found.logits[1] + 2.0).abs() < 1e-12);
            assert_eq!(found.patients, [0, 0]);
            assert!(found.grouped);
        }
        let passed_over = read("l.csv", csv).unwrap().passed_over;
        let expected = [("no label", 1), ("no prediction", 1), ("referred", 1), ("same prediction again", 1)];
        assert_eq!(passed_over, expected.map(|(reason, n)| (reason.to_owned(), n)).into());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (content, expected) in [
            ("logit,label\n1.0,1\n2.0,maybe\n", "line 3"),
            ("logit,label\nhigh,1\n", "is no number"),
            ("score,label\n1.0,1\n", "no column `logit`"),
            ("logit,label,bundle_digest\n1.0,1,cd\n", "other weights"),
            ("logit,label,variant\n1.0,1,int8\n", "int8"),
            ("id,logit,label\na,1.0,1\na,1.0,0\n", "contradict"),
            ("logit,label\ninf,1\n", "not finite"),
        ] {
            let error = format!("{:#}", read("l.csv", content).unwrap_err());
            assert!(error.contains(expected), "{content}: {error}");
        }
    }

    #[test]
    fn rows_without_a_patient_are_patients_of_their_own() {
        let found = read("l.csv", "logit,label\n1.0,1\n2.0,0\n").unwrap();
        assert_eq!(found.patients, [0, 1]);
        assert!(!found.grouped);
    }
}
