//! The table of a data set: CSV with one line per image for its patient, label and other columns.

use super::columns::Column;
use super::defects::{Defects, Kind};
use crate::config::did_you_mean;
use anyhow::{Context, Result, bail, ensure};
use csv::{ReaderBuilder, StringRecord, Trim};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const FILE: &str = "file";
const PATIENT: &str = "patient";
const LABEL: &str = "label";
const COLUMNS: &str = "file,patient[,label,sex,age,view,scanner,site,date]";

#[derive(Debug)]
pub(super) struct Table {
    pub(super) path: PathBuf,
    /// Whether the table defines the classes.
    pub(super) has_labels: bool,
    pub(super) lines: BTreeMap<String, Line>,
}

#[derive(Debug, Clone)]
pub(super) struct Line {
    /// From 1, as an editor counts.
    pub(super) number: u64,
    pub(super) patient: String,
    /// Empty if the table has no labels.
    pub(super) label: String,
    pub(super) columns: BTreeMap<Column, String>,
}

/// Positions of the columns in a line.
struct Head {
    file: usize,
    patient: usize,
    label: Option<usize>,
    columns: Vec<(Column, usize)>,
    len: usize,
}

/// The distinct labels of a table; none if it has no such column.
pub(crate) fn labels(path: &Path) -> Result<Option<BTreeSet<String>>> {
    let mut defects = Defects::default();
    let table = Table::read(path, &mut defects)?;
    defects.check(&path.display().to_string())?;
    // Upper and lower case are the same.
    let labels: BTreeMap<String, String> =
        table.lines.into_values().map(|line| (line.label.to_lowercase(), line.label)).collect();
    Ok(table.has_labels.then(|| labels.into_values().collect()))
}

impl Table {
    /// Defects of lines are added to `defects`.
    pub(super) fn read(path: &Path, defects: &mut Defects) -> Result<Self> {
        let context = || format!("{}: cannot be read (trainer.data.table)", path.display());
        let bytes = std::fs::read(path).with_context(context)?;
        // Excel's plain CSV uses the code page of the machine.
        if let Err(error) = std::str::from_utf8(&bytes) {
            let mut lines = Lines::of(&bytes);
            bail!(
                "{}: line {}: is not UTF-8; save the table as UTF-8 (in Excel: CSV UTF-8)",
                path.display(),
                lines.at(error.valid_up_to())
            );
        }
        let head_line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        // Spreadsheets in locales with decimal commas separate by semicolons.
        let by_semicolon = head_line.contains(&b';') && !head_line.contains(&b',');
        let mut reader = ReaderBuilder::new()
            .delimiter(if by_semicolon { b';' } else { b',' })
            .flexible(true)
            .trim(Trim::All)
            .from_reader(bytes.as_slice());
        let head = Head::of(path, reader.headers().with_context(context)?)?;
        let mut table =
            Self { path: path.to_owned(), has_labels: head.label.is_some(), lines: BTreeMap::new() };
        let mut lines = Lines::of(&bytes);
        for record in reader.records() {
            // The reader's error names the line.
            let record = record.with_context(context)?;
            let number = lines.of_record(&record);
            table.add(&head, &record, number, defects);
        }
        ensure!(!table.lines.is_empty(), "{}: has no line below its header", path.display());
        Ok(table)
    }

    fn add(&mut self, head: &Head, record: &StringRecord, number: u64, defects: &mut Defects) {
        if record.len() != head.len {
            let what = format!("line {number}: {} values where the header has {}", record.len(), head.len);
            defects.add(Kind::Value, what);
            return;
        }
        let mut wrong = |column: &str, what: &str| {
            defects.add(Kind::Value, format!("line {number}, column {column}: {what}"));
        };
        let file = record[head.file].trim_start_matches("./").to_owned();
        for (column, at) in
            [(FILE, head.file), (PATIENT, head.patient)].into_iter().chain(head.label.map(|at| (LABEL, at)))
        {
            if record[at].is_empty() {
                wrong(column, "is empty");
            }
        }
        let mut columns = BTreeMap::new();
        for (column, at) in &head.columns {
            match column.group(&record[*at]) {
                Ok(Some(group)) => {
                    columns.insert(*column, group);
                }
                Ok(None) => {}
                Err(expected) => wrong(column.name(), &format!("{:?}, expected {expected}", &record[*at])),
            }
        }
        let label = head.label.map_or("", |at| &record[at]).to_owned();
        let line = Line { number, patient: record[head.patient].to_owned(), label, columns };
        if let Some(first) = self.lines.get(&file) {
            defects.add(
                Kind::DuplicateLine,
                format!("line {number}: {file} is already in line {}", first.number),
            );
        } else {
            self.lines.insert(file, line);
        }
    }
}

/// Counts lines as an editor does. The line numbers of the `csv` reader differ for CRLF and for empty lines.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    number: u64,
}

impl<'a> Lines<'a> {
    const fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, number: 1 }
    }

    /// The line of a byte. Positions must not decrease from call to call.
    fn at(&mut self, byte: usize) -> u64 {
        while self.at < byte.min(self.bytes.len()) {
            let is_crlf = self.bytes[self.at..].starts_with(b"\r\n");
            if matches!(self.bytes[self.at], b'\n' | b'\r') && !is_crlf {
                self.number += 1;
            }
            self.at += 1;
        }
        self.number
    }

    fn of_record(&mut self, record: &StringRecord) -> u64 {
        let from = record.position().map_or(0, |position| position.byte() as usize);
        let rest = self.bytes.get(from..).unwrap_or_default();
        let n_breaks = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        self.at(from + n_breaks)
    }
}

impl Head {
    fn of(path: &Path, head: &StringRecord) -> Result<Self> {
        let file = path.display();
        let known = || [FILE, PATIENT, LABEL].into_iter().chain(Column::ALL.map(Column::name));
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for (at, name) in head.iter().enumerate() {
            let name = name.trim_start_matches('\u{feff}').to_lowercase();
            if !known().any(|known| known == name) {
                bail!(
                    "{file}: line 1, column {}: unknown column {name:?}{}; the columns are {COLUMNS}",
                    at + 1,
                    did_you_mean(&name, known())
                );
            }
            ensure!(
                places.insert(name.clone(), at).is_none(),
                "{file}: line 1, column {}: a second column {name}",
                at + 1
            );
        }
        let place = |name: &str| {
            let place = places.get(name).copied();
            place.with_context(|| format!("{file}: line 1: no column {name}; the columns are {COLUMNS}"))
        };
        let columns =
            Column::ALL.into_iter().filter_map(|column| Some((column, *places.get(column.name())?)));
        Ok(Self {
            file: place(FILE)?,
            patient: place(PATIENT)?,
            label: places.get(LABEL).copied(),
            columns: columns.collect(),
            len: head.len(),
        })
    }
}
