//! Verifies an export with the log's public key, and with checkpoints and receipts that were kept elsewhere.
//! It trusts neither the database nor the export.
//!
//! Each row must hash to its leaf, the leaves must hash to the root of every checkpoint, every checkpoint
//! must be signed, and the row of every receipt must exist. Each violation is a finding with the first leaf
//! that it concerns. Labels are not in the tree: they are counted and not verified.

use super::export::{CheckpointLine, LeafLine, Line, UnsequencedLine};
use super::signing::{LogVerifier, ReceiptText};
use crate::record::Digests;
use crate::record::tree::Edge;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Read};
use time::OffsetDateTime;
use tlog_tiles::{Checkpoint, Hash};
use uuid::Uuid;

/// Findings beyond this are dropped: the first ones tell where the damage begins.
const MOST_FINDINGS: usize = 100;

/// Longest line in bytes; a row has a few thousand.
const LONGEST_LINE: u64 = 16 << 20;

/// Longest age of a pending row beyond the newest in the tree, in seconds: longer than any request.
const LONGEST_WAIT: u64 = 2 * 60 * 60;

/// Something that differs from what was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Index of the first leaf concerned, from 0.
    pub leaf_index: u64,
    /// Length of the range that contains the fault; 1 if the leaf is known.
    pub n_leaves: u64,
    pub what: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub n_leaves: u64,
    /// Leaves whose row is present and hashes to the leaf.
    pub n_rows_verified: u64,
    /// Leaves whose row is absent and older than the retention period.
    pub n_rows_absent: u64,
    /// Rows that were pending when the export was made; only their receipts cover them.
    pub n_rows_waiting: u64,
    /// Rows with labels, which no leaf covers and nothing here verifies.
    pub n_rows_labelled: u64,
    /// Size of the largest anchored checkpoint that matches the export.
    pub anchored_size: u64,
    pub n_heads_verified: u64,
    pub n_receipts_verified: u64,
    pub findings: Vec<Finding>,
}

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("the export cannot be read")]
    Read(#[from] std::io::Error),
    #[error(
        "line {number} of the export cannot be read: the file is truncated, or not from cxr-service audit export"
    )]
    Line {
        number: u64,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "line {number} of the export is longer than 16 MiB: the file is not from cxr-service audit export"
    )]
    Long { number: u64 },
}

/// Roots of checkpoints that were kept outside the database, by tree size.
#[derive(Debug, Default)]
pub struct Anchors(BTreeMap<u64, Vec<Hash>>);

impl FromIterator<Checkpoint> for Anchors {
    fn from_iter<T: IntoIterator<Item = Checkpoint>>(checkpoints: T) -> Self {
        let mut by_size = BTreeMap::<u64, Vec<Hash>>::new();
        for checkpoint in checkpoints {
            let roots = by_size.entry(checkpoint.size()).or_default();
            if !roots.contains(checkpoint.hash()) {
                roots.push(*checkpoint.hash());
            }
        }
        Self(by_size)
    }
}

/// What an export is compared with: checkpoints and receipts that were kept elsewhere.
#[derive(Debug, Default)]
pub struct Expectations {
    pub anchors: Anchors,
    pub receipts: Vec<ReceiptText>,
    /// Older rows may be absent, because retention dropped them; without it no row may.
    pub kept_from: Option<OffsetDateTime>,
}

impl Expectations {
    fn may_be_absent(&self, id: Uuid) -> bool {
        self.kept_from.is_some_and(|from| made_at(id).is_some_and(|at| (at as i64) < from.unix_timestamp()))
    }
}

/// Time of an id, in seconds since 1970.
fn made_at(id: Uuid) -> Option<u64> {
    id.get_timestamp().map(|timestamp| timestamp.to_unix().0)
}

pub fn verify(
    mut export: impl BufRead,
    key: &LogVerifier,
    expectations: &Expectations,
    mut progress: impl FnMut(u64),
) -> Result<Report, VerifyError> {
    let mut run = Run::new(key, expectations);
    let (mut text, mut number) = (Vec::new(), 0);
    loop {
        text.clear();
        if (&mut export).take(LONGEST_LINE).read_until(b'\n', &mut text)? == 0 {
            break;
        }
        number += 1;
        if text.len() as u64 == LONGEST_LINE {
            return Err(VerifyError::Long { number });
        }
        match Line::parse(&text).map_err(|source| VerifyError::Line { number, source })? {
            Line::Leaf(line) => {
                run.leaf(&line);
                progress(run.edge.size());
            }
            Line::Checkpoint(line) => run.checkpoint(&line),
            Line::Unsequenced(line) => run.unsequenced(&line),
        }
    }
    Ok(run.end())
}

struct Run<'a> {
    key: &'a LogVerifier,
    expectations: &'a Expectations,
    receipts: HashMap<Uuid, Vec<&'a ReceiptText>>,
    edge: Edge,
    /// Time of the newest row in the tree, in seconds since 1970.
    newest: u64,
    /// Size of the largest verified checkpoint, anchored or exported.
    proven: u64,
    mismatch: bool,
    report: Report,
}

impl<'a> Run<'a> {
    fn new(key: &'a LogVerifier, expectations: &'a Expectations) -> Self {
        let mut receipts = HashMap::<Uuid, Vec<&ReceiptText>>::new();
        for receipt in &expectations.receipts {
            receipts.entry(receipt.id).or_default().push(receipt);
        }
        let (edge, report, mismatch) = (Edge::default(), Report::default(), false);
        let mut run = Self { key, expectations, receipts, edge, newest: 0, proven: 0, mismatch, report };
        for (size, roots) in &expectations.anchors.0 {
            if roots.len() > 1 {
                let what = format!("the log signed {} different trees of {size} leaves", roots.len());
                run.found(0, *size, what);
            }
        }
        run
    }

    fn found(&mut self, leaf_index: u64, n_leaves: u64, what: String) {
        if self.report.findings.len() < MOST_FINDINGS {
            self.report.findings.push(Finding { leaf_index, n_leaves, what });
        }
    }

    fn leaf(&mut self, line: &LeafLine<'_>) {
        let index = self.edge.size();
        if line.leaf_index != index {
            self.found(index, 1, format!("the export has leaf {} here", line.leaf_index));
        }
        self.report.n_rows_labelled += u64::from(line.labels.is_some());
        let leaf_hash = Hash::parse_hash(&line.leaf_hash).unwrap_or_default();
        let row_hash = line.row_hash.as_deref().and_then(|hash| Hash::parse_hash(hash).ok());
        let stated = Digests { row_hash, leaf_hash };
        match &line.row {
            None if !stated.bind(line.id) => {
                let what = format!("row {} is missing, and its leaf does not match its id", line.id);
                self.found(index, 1, what);
            }
            None if self.expectations.may_be_absent(line.id) => self.report.n_rows_absent += 1,
            None => self.found(index, 1, format!("row {} is missing", line.id)),
            Some(row) if hashes_to(row.get(), line.id, stated) => {
                self.report.n_rows_verified += 1;
                self.newest = self.newest.max(made_at(line.id).unwrap_or_default());
            }
            Some(_) => {
                self.found(index, 1, format!("row {} does not hash to its leaf: it was changed", line.id));
            }
        }
        self.check_receipts(line.id, index, leaf_hash);
        if self.edge.append(leaf_hash).is_err() {
            // Cannot happen: every hash of the edge was computed here.
            self.found(index, 1, "the tree cannot be computed".to_owned());
        }
        self.check_anchor();
    }

    fn check_receipts(&mut self, id: Uuid, index: u64, leaf_hash: Hash) {
        for receipt in self.receipts.remove(&id).unwrap_or_default() {
            if receipt.leaf_hash == leaf_hash {
                self.report.n_receipts_verified += 1;
            } else {
                self.found(index, 1, format!("row {id} differs from the row of its receipt"));
            }
        }
    }

    /// Checks a row that is not in the tree; its findings come after the last leaf.
    fn unsequenced(&mut self, line: &UnsequencedLine<'_>) {
        let (end, id) = (self.edge.size(), line.id);
        self.report.n_rows_labelled += u64::from(line.labels.is_some());
        let now = OffsetDateTime::now_utc().unix_timestamp() as u64;
        let recent = self.newest..=now + 2 * LONGEST_WAIT;
        let is_recent = made_at(id).is_some_and(|at| recent.contains(&(at + LONGEST_WAIT)));
        match (line.waits, is_recent) {
            (true, true) => self.report.n_rows_waiting += 1,
            (true, false) => {
                let what = "is pending, but its id is too old or in the future: the service did not write it";
                self.found(end, 1, format!("row {id} {what}"));
            }
            (false, _) => {
                let what = "has no leaf: the service did not write it, or its leaf was deleted";
                self.found(end, 1, format!("row {id} {what}"));
            }
        }
        match digests(line.row.get()) {
            Some((stated, digests)) if stated == id => self.check_receipts(id, end, digests.leaf_hash),
            _ => self.found(end, 1, format!("row {id} cannot be read")),
        }
    }

    fn check_anchor(&mut self) {
        let size = self.edge.size();
        let Some(roots) = self.expectations.anchors.0.get(&size) else { return };
        if self.edge.root().is_ok_and(|root| roots.contains(&root)) {
            self.report.n_heads_verified += 1;
            self.report.anchored_size = size;
            self.proven = size;
        } else {
            let anchored = self.report.anchored_size;
            // The checkpoints since then are signed but not anchored.
            let forged = format!("; with the log's key it could have been changed from leaf {anchored} on");
            self.root_differs("an anchored checkpoint", if anchored < self.proven { &forged } else { "" });
        }
    }

    fn checkpoint(&mut self, line: &CheckpointLine<'_>) {
        let size = self.edge.size();
        match self.key.checkpoint(line.checkpoint.as_bytes()) {
            Err(error) => {
                self.found(size, 1, format!("the checkpoint of {} leaves is {error}", line.tree_size));
            }
            Ok(found) if found.size() != line.tree_size || found.size() != size => {
                let (signed, stated) = (found.size(), line.tree_size);
                let what = format!("the checkpoint after {size} leaves signs {signed} and states {stated}");
                self.found(size.min(signed), 1, what);
            }
            Ok(found) if self.edge.root().is_ok_and(|root| root == *found.hash()) => {
                self.report.n_heads_verified += 1;
                self.proven = self.proven.max(size);
            }
            Ok(_) => self.root_differs("a signed checkpoint", ""),
        }
    }

    /// At least one leaf since the last verified checkpoint is wrong; which one cannot be known.
    fn root_differs(&mut self, checkpoint: &str, more: &str) {
        self.mismatch = true;
        let size = self.edge.size();
        let what = format!("the first {size} leaves do not give the root that {checkpoint} states{more}");
        self.found(self.proven, size - self.proven, what);
    }

    fn end(mut self) -> Report {
        let size = self.edge.size();
        if let Some((anchored, _)) = self.expectations.anchors.0.range(size + 1..).next_back() {
            let what = format!("the log had {anchored} leaves and has {size}: its end is missing");
            self.found(size, anchored - size, what);
        }
        // The service commits leaves and their checkpoint in one transaction.
        if self.proven < size && !self.mismatch {
            let what = format!("no signed checkpoint covers the leaves after the first {}", self.proven);
            self.found(self.proven, size - self.proven, what);
        }
        for id in std::mem::take(&mut self.receipts).into_keys() {
            self.found(size, 1, format!("row {id} has a receipt and is not in the export"));
        }
        self.report.n_leaves = size;
        self.report.findings.sort_by_key(|finding| finding.leaf_index);
        self.report
    }
}

/// Whether a row has this id and these digests, also in canonical form: a tool may have reformatted it.
fn hashes_to(row: &str, id: Uuid, stated: Digests) -> bool {
    let fits = |row: &str| digests(row) == Some((id, stated));
    fits(row) || serde_json_canonicalizer::pipe(row).is_ok_and(|row| fits(&row))
}

fn digests(row: &str) -> Option<(Uuid, Digests)> {
    #[derive(serde::Deserialize)]
    struct Ids {
        id: Uuid,
        encoding_version: i16,
    }
    let Ids { id, encoding_version } = serde_json::from_str(row).ok()?;
    Some((id, Digests::of(id, encoding_version, row.as_bytes())))
}
