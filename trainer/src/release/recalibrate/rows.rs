//! Rows of the audit log: from `cxr-service audit export` (NDJSON, the row beside its labels) and from
//! `GET /v1/predictions?format=ndjson` or `csv` (the current label among the columns). They are read one at a
//! time, because a log can be larger than memory.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The columns that recalibration uses, named as in the log. `patient` and `pseudonym` are accepted for
/// `subject`.
const COLUMNS: [&str; 15] = [
    "id",
    "outcome",
    "decision",
    "logit",
    "bundle_digest",
    "model_version",
    "variant",
    "subject",
    "patient",
    "pseudonym",
    "input_digest",
    "label",
    "image_statistics",
    "ood_score",
    "embedding_coordinates",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    /// Class name, or a word for positive or negative.
    pub(super) class: String,
    pub(super) source: Option<String>,
    /// `labelled_at` and `recorded_at`, as far as they are known.
    pub(super) times: (Option<OffsetDateTime>, Option<OffsetDateTime>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowState {
    Present,
    /// By retention; its leaf remains.
    Dropped,
    /// Without a leaf: not written by the service.
    Foreign,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) state: RowState,
    pub(super) labels: Vec<Label>,
    columns: BTreeMap<&'static str, String>,
}

impl Row {
    /// None if the column is absent, empty or null.
    pub(super) fn text(&self, column: &str) -> Option<&str> {
        self.columns.get(column).map(String::as_str)
    }
}

/// Passes every row to `take`. Returns the SHA-256 of the whole input; errors name the line.
pub(super) fn read(input: impl Read, mut take: impl FnMut(Row) -> Result<()>) -> Result<String> {
    let mut input = BufReader::with_capacity(1 << 20, Hashing { inner: input, digest: Sha256::new() });
    // Standard input has no file extension to tell the formats apart.
    let first = input.fill_buf()?.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
    match first {
        Some(b'{') => ndjson(&mut input, &mut take)?,
        Some(b'[') => bail!("one JSON document: export one object a line (format=ndjson), or CSV"),
        _ => csv(&mut input, &mut take)?,
    }
    std::io::copy(&mut input, &mut std::io::sink())?;
    Ok(hex::encode(input.into_inner().digest.finalize()))
}

fn ndjson(input: &mut impl BufRead, take: &mut impl FnMut(Row) -> Result<()>) -> Result<()> {
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        if input.read_until(b'\n', &mut text)? == 0 {
            break;
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let mut read = || -> Result<()> {
            let object: Map<String, Value> = serde_json::from_slice(&text).context("not a JSON object")?;
            object_row(&object)?.map_or(Ok(()), &mut *take)
        };
        read().with_context(|| format!("line {line}"))?;
    }
    Ok(())
}

/// None for a checkpoint of the tree.
fn object_row(object: &Map<String, Value>) -> Result<Option<Row>> {
    if object.contains_key("checkpoint") {
        return Ok(None);
    }
    let exported = object.contains_key("leaf_hash") || object.contains_key("waits");
    if !exported {
        ensure!(
            !object.contains_key("items"),
            "a page of a search: export one object a line with format=ndjson"
        );
        return flat(|column| object.get(column).and_then(text_of)).map(Some);
    }
    let state = match (object.get("row"), object.get("waits")) {
        (_, Some(Value::Bool(false))) => RowState::Foreign,
        (None | Some(Value::Null), _) => RowState::Dropped,
        _ => RowState::Present,
    };
    let row = object.get("row").and_then(Value::as_object);
    let mut row = flat(|column| row.and_then(|row| row.get(column)).and_then(text_of))?;
    row.state = state;
    for label in object.get("labels").and_then(Value::as_array).into_iter().flatten() {
        let member = |name: &str| label.get(name).and_then(text_of);
        row.labels.extend(label_of(member, member("recorded_at"))?);
    }
    Ok(Some(row))
}

fn csv(input: &mut impl BufRead, take: &mut impl FnMut(Row) -> Result<()>) -> Result<()> {
    let mut reader = csv::Reader::from_reader(input);
    let names = reader.headers().context("neither NDJSON nor CSV")?.clone();
    for column in ["logit", "label"] {
        ensure!(
            names.iter().any(|name| name == column),
            "no column `{column}`, which an export of the log has (GET /v1/predictions?format=csv)"
        );
    }
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line) as usize;
        let cell = |column: &str| {
            let at = names.iter().position(|name| name == column)?;
            record.get(at).map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned)
        };
        let mut read = || take(flat(cell)?);
        read().with_context(|| format!("line {line}"))?;
    }
    Ok(())
}

/// A row with at most one label among its columns.
fn flat(column: impl Fn(&str) -> Option<String>) -> Result<Row> {
    let columns = COLUMNS.into_iter().filter_map(|name| Some((name, column(name)?))).collect();
    let labels = label_of(&column, None)?.into_iter().collect();
    Ok(Row { state: RowState::Present, labels, columns })
}

/// `recorded_at` is passed separately: a column of that name is the row's, not the label's.
fn label_of(member: impl Fn(&str) -> Option<String>, recorded_at: Option<String>) -> Result<Option<Label>> {
    let moment = |name: &str, text: Option<String>| -> Result<Option<OffsetDateTime>> {
        let parse = |text: String| {
            OffsetDateTime::parse(&text, &Rfc3339).with_context(|| {
                format!("{name} {text:?} is not a time in RFC 3339, such as 2026-01-31T00:00:00Z")
            })
        };
        text.map(parse).transpose()
    };
    let Some(label) = member("label") else { return Ok(None) };
    let times = (moment("labelled_at", member("labelled_at"))?, moment("recorded_at", recorded_at)?);
    Ok(Some(Label { class: label, source: member("source"), times }))
}

/// None if null or empty.
fn text_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    (!text.is_empty()).then_some(text)
}

struct Hashing<R> {
    inner: R,
    digest: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.digest.update(&buffer[..n]);
        Ok(n)
    }
}
