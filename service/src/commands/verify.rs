//! `cxr-service audit verify`: reads the inputs of the verifier and prints its report.

use super::audit::{progress, public};
use crate::audit::anchor::Anchor;
use crate::audit::signing::{LogVerifier, ReceiptText};
use crate::audit::verify::{Expectations, Report, verify};
use crate::stdout;
use anyhow::{Context, ensure};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use tlog_tiles::Checkpoint;

pub(super) fn verified(
    export: &Path,
    public_key: &str,
    checkpoints: Option<PathBuf>,
    receipts: Option<&Path>,
    kept_from: Option<OffsetDateTime>,
) -> anyhow::Result<Report> {
    let key = public(public_key)?;
    let anchors = checkpoints.map(|folder| anchored(&folder, &key)).transpose()?;
    if anchors.is_none() {
        stdout::print_stderr(
            "no anchored checkpoint was given: the holder of the log's key could have rewritten everything",
        );
    }
    let expectations = Expectations {
        anchors: anchors.into_iter().flatten().collect(),
        receipts: receipts.map(|path| read_receipts(path, &key)).transpose()?.unwrap_or_default(),
        kept_from,
    };
    let input: Box<dyn BufRead> = if export == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        Box::new(BufReader::with_capacity(1 << 20, open(export)?))
    };
    Ok(verify(input, &key, &expectations, progress("verified"))?)
}

fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("{}: cannot be read", path.display()))
}

fn anchored(folder: &Path, key: &LogVerifier) -> anyhow::Result<Vec<Checkpoint>> {
    let checkpoints = Anchor::at(folder.to_owned()).all(key)?;
    let name = folder.display();
    ensure!(!checkpoints.is_empty(), "--checkpoints: {name} holds none; omit it if you have none");
    Ok(checkpoints)
}

fn read_receipts(path: &Path, key: &LogVerifier) -> anyhow::Result<Vec<ReceiptText>> {
    let lines = BufReader::new(open(path)?).lines().zip(1..);
    let receipt = |(line, number): (std::io::Result<String>, usize)| {
        let read = || -> anyhow::Result<ReceiptText> {
            let value: Value = serde_json::from_str(&line?).context("not a JSON object")?;
            let note = value.pointer("/receipt/note").or_else(|| value.get("note"));
            let note = note.and_then(|note| note.as_str()).context("no member receipt or note")?;
            Ok(key.receipt(note.as_bytes())?)
        };
        read().with_context(|| format!("{}: line {number}", path.display()))
    };
    lines.map(receipt).collect()
}

pub(super) fn print_report(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        stdout::print(serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    stdout::print(format_args!(
        "{} leaves, {} rows verified, {} removed by retention, {} pending; {} signed checkpoints, {} receipts; {} leaves under an anchored checkpoint",
        report.n_leaves,
        report.n_rows_verified,
        report.n_rows_absent,
        report.n_rows_waiting,
        report.n_heads_verified,
        report.n_receipts_verified,
        report.anchored_size,
    ));
    if report.n_rows_labelled > 0 {
        let n = report.n_rows_labelled;
        stdout::print(format_args!("{n} rows have labels: labels are not in the tree and not verified"));
    }
    for finding in &report.findings {
        let last = finding.leaf_index + finding.n_leaves.saturating_sub(1);
        let place = if finding.n_leaves <= 1 {
            format!("leaf {}", finding.leaf_index)
        } else {
            format!("leaves {} to {last}", finding.leaf_index)
        };
        stdout::print(format_args!("WRONG at {place}: {}", finding.what));
    }
    stdout::print(if report.findings.is_empty() { "everything is as signed" } else { "TAMPERED" });
    Ok(())
}
