//! Rows of the service's log as it gives them out: `cxr-service audit export` (NDJSON, the row beside its labels), and
//! `GET /v1/predictions?format=ndjson` or `csv` (the label that counts among the row's columns). Read one at a time: a log can be larger
//! than the memory.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The columns that recalibration looks at, under the log's names; `patient` and `pseudonym` are other people's names for `subject`.
const COLUMNS: [&str; 12] = [
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
];

/// A label, and when it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// As it stands there.
    pub(super) label: String,
    /// Who or what found it.
    pub(super) source: Option<String>,
    /// When it was found, and when it was written down: the later one counts. Where both are equal or unknown, none does.
    pub(super) at: (Option<OffsetDateTime>, Option<OffsetDateTime>),
}

/// Where a row stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is there.
    Present,
    /// Retention has taken it; its leaf is left.
    Gone,
    /// It has no leaf: the service did not write it.
    Foreign,
}

/// One row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) standing: Standing,
    pub(super) labels: Vec<Statement>,
    columns: BTreeMap<&'static str, String>,
}

impl Row {
    /// A column's text; none where it is absent, empty or null.
    pub(super) fn text(&self, column: &str) -> Option<&str> {
        self.columns.get(column).map(String::as_str)
    }
}

/// Hands every row to `take`; SHA-256 of everything that was read.
///
/// # Errors
/// Names the line that cannot be understood, or for which `take` fails.
pub(super) fn read(input: impl Read, mut take: impl FnMut(Row) -> Result<()>) -> Result<String> {
    let mut input = BufReader::with_capacity(1 << 20, Hashing { inner: input, digest: Sha256::new() });
    // Told apart by what it is: standard input has no ending.
    let first = input.fill_buf()?.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
    match first {
        Some(b'{') => ndjson(&mut input, &mut take)?,
        Some(b'[') => bail!("it is one JSON document: export one object a line (format=ndjson), or CSV"),
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

/// None for a signed head of the log's tree.
fn object_row(object: &Map<String, Value>) -> Result<Option<Row>> {
    if object.contains_key("checkpoint") {
        return Ok(None);
    }
    let exported = object.contains_key("leaf_hash") || object.contains_key("waits");
    if !exported {
        ensure!(
            !object.contains_key("items"),
            "it is a page of the search: export one object a line with format=ndjson"
        );
        return flat(|column| object.get(column).and_then(plain)).map(Some);
    }
    let standing = match (object.get("row"), object.get("waits")) {
        (_, Some(Value::Bool(false))) => Standing::Foreign,
        (None | Some(Value::Null), _) => Standing::Gone,
        _ => Standing::Present,
    };
    let row = object.get("row").and_then(Value::as_object);
    let mut row = flat(|column| row.and_then(|row| row.get(column)).and_then(plain))?;
    row.standing = standing;
    for label in object.get("labels").and_then(Value::as_array).into_iter().flatten() {
        let member = |name: &str| label.get(name).and_then(plain);
        row.labels.extend(statement(member, member("recorded_at"))?);
    }
    Ok(Some(row))
}

fn csv(input: &mut impl BufRead, take: &mut impl FnMut(Row) -> Result<()>) -> Result<()> {
    let mut reader = csv::Reader::from_reader(input);
    let names = reader.headers().context("it is neither NDJSON nor CSV")?.clone();
    for column in ["logit", "label"] {
        ensure!(
            names.iter().any(|name| name == column),
            "it has no column `{column}`, which an export of the service's log has (GET /v1/predictions?format=csv)"
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

/// A row whose columns stand side by side.
fn flat(column: impl Fn(&str) -> Option<String>) -> Result<Row> {
    let columns = COLUMNS.into_iter().filter_map(|name| Some((name, column(name)?))).collect();
    let labels = statement(&column, None)?.into_iter().collect();
    Ok(Row { standing: Standing::Present, labels, columns })
}

/// The label that these members state. A row's own `recorded_at` is not the label's.
fn statement(
    member: impl Fn(&str) -> Option<String>,
    recorded_at: Option<String>,
) -> Result<Option<Statement>> {
    let moment = |name: &str, text: Option<String>| -> Result<Option<OffsetDateTime>> {
        let parse = |text: String| {
            OffsetDateTime::parse(&text, &Rfc3339).with_context(|| {
                format!("{name} {text:?} is not a time in RFC 3339, such as 2026-01-31T00:00:00Z")
            })
        };
        text.map(parse).transpose()
    };
    let Some(label) = member("label") else { return Ok(None) };
    let at = (moment("labelled_at", member("labelled_at"))?, moment("recorded_at", recorded_at)?);
    Ok(Some(Statement { label, source: member("source"), at }))
}

/// A value's text; none where it is null or empty.
fn plain(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    (!text.is_empty()).then_some(text)
}

/// Digests what passes through.
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
