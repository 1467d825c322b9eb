//! The verifier: from an export, signed heads and receipts that were kept elsewhere, and the log's public key, and nothing
//! else. It trusts neither the database nor whoever made the export.
//!
//! Labels stand beside rows, not in the tree: they are counted and nothing is said of them.
//!
//! Each row must hash to its leaf; the leaves must lead to the root of every head; every head must be signed, and every
//! receipt's row must be there. Whatever is not so is a finding with the first place where it shows.

use super::export::{HeadLine, LeafLine, Line, StrayLine};
use super::signing::{LogVerifier, ReceiptText};
use crate::record::Digests;
use crate::record::tree::Edge;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Read};
use time::OffsetDateTime;
use tlog_tiles::{Checkpoint, Hash};
use uuid::Uuid;

/// More findings than anyone reads: the first ones say where it begins.
const MOST_FINDINGS: usize = 100;

/// Most bytes of a line: a row has a few thousand.
const LONGEST_LINE: u64 = 16 << 20;

/// How much older than the newest row in the tree a row may be that still waits for its place, in seconds: longer than any
/// request. And how far clocks may differ.
const LONGEST_WAIT: u64 = 2 * 60 * 60;

/// Something that is not as it was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The first place that is wrong, counted from 0.
    pub leaf_index: u64,
    /// Leaves from there on of which one is wrong; 1 where it is known which.
    pub n_leaves: u64,
    /// What is wrong.
    pub what: String,
}

/// What the verifier found out.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Leaves of the export.
    pub n_leaves: u64,
    /// Of these, how many rows are there and hash to their leaf.
    pub n_rows_verified: u64,
    /// Of these, how many rows are not there and need not be: they are older than what is kept.
    pub n_rows_absent: u64,
    /// Rows that waited for their place when the export was made: their receipts cover them.
    pub n_rows_waiting: u64,
    /// Rows beside which labels stand: what a label says, no leaf covers, and nothing here proves.
    pub n_rows_labelled: u64,
    /// Leaves below the largest anchored head that the export leads to.
    pub anchored_size: u64,
    /// Signed heads that the export leads to.
    pub n_heads_verified: u64,
    /// Receipts whose row is there as it was.
    pub n_receipts_verified: u64,
    /// What is wrong, in the order of places.
    pub findings: Vec<Finding>,
}

/// Why verifying ended early.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The export cannot be read.
    #[error("the export cannot be read")]
    Read(#[from] std::io::Error),
    /// A line is none of an export.
    #[error(
        "line {number} of the export cannot be read: the file is truncated, or not from cxr-service audit export"
    )]
    Line {
        /// Counted from 1.
        number: u64,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },
    /// A line is longer than any of an export.
    #[error(
        "line {number} of the export is longer than 16 MiB: the file is not from cxr-service audit export"
    )]
    Long {
        /// Counted from 1.
        number: u64,
    },
}

/// Signed heads that were kept outside the database.
#[derive(Debug, Default)]
pub struct Anchors(BTreeMap<u64, Vec<Hash>>);

impl FromIterator<Checkpoint> for Anchors {
    fn from_iter<T: IntoIterator<Item = Checkpoint>>(heads: T) -> Self {
        let mut by_size = BTreeMap::<u64, Vec<Hash>>::new();
        for head in heads {
            let roots = by_size.entry(head.size()).or_default();
            if !roots.contains(head.hash()) {
                roots.push(*head.hash());
            }
        }
        Self(by_size)
    }
}

/// What an export must agree with.
#[derive(Debug, Default)]
pub struct Expectations {
    /// Heads that were kept elsewhere.
    pub anchors: Anchors,
    /// Receipts that were kept elsewhere.
    pub receipts: Vec<ReceiptText>,
    /// Rows from before may have been taken by retention; none may where this is absent.
    pub kept_from: Option<OffsetDateTime>,
}

impl Expectations {
    fn may_be_absent(&self, id: Uuid) -> bool {
        self.kept_from.is_some_and(|from| made_at(id).is_some_and(|at| (at as i64) < from.unix_timestamp()))
    }
}

/// When an id was made, in seconds since 1970.
fn made_at(id: Uuid) -> Option<u64> {
    id.get_timestamp().map(|timestamp| timestamp.to_unix().0)
}

/// Verifies an export line by line.
///
/// # Errors
/// When it cannot be read. Whatever is read and wrong is a finding.
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
            Line::Head(line) => run.head(&line),
            Line::Stray(line) => run.stray(&line),
        }
    }
    Ok(run.end())
}

struct Run<'a> {
    key: &'a LogVerifier,
    expectations: &'a Expectations,
    receipts: HashMap<Uuid, Vec<&'a ReceiptText>>,
    edge: Edge,
    /// When the newest row in the tree was made.
    newest: u64,
    /// Leaves up to which the tree is proven by an anchored or exported head.
    proven: u64,
    /// Whether a head was missed since.
    missed: bool,
    report: Report,
}

impl<'a> Run<'a> {
    fn new(key: &'a LogVerifier, expectations: &'a Expectations) -> Self {
        let mut receipts = HashMap::<Uuid, Vec<&ReceiptText>>::new();
        for receipt in &expectations.receipts {
            receipts.entry(receipt.id).or_default().push(receipt);
        }
        let (edge, report) = (Edge::default(), Report::default());
        let mut run = Self { key, expectations, receipts, edge, newest: 0, proven: 0, missed: false, report };
        for (size, roots) in &expectations.anchors.0 {
            if roots.len() > 1 {
                run.found(
                    0,
                    *size,
                    format!("the log signed {} different trees of {size} leaves", roots.len()),
                );
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
            self.found(index, 1, format!("the export goes on with leaf {} in its place", line.leaf_index));
        }
        self.report.n_rows_labelled += u64::from(line.labels.is_some());
        let leaf_hash = Hash::parse_hash(&line.leaf_hash).unwrap_or_default();
        let row_hash = line.row_hash.as_deref().and_then(|hash| Hash::parse_hash(hash).ok());
        let stated = Digests { row_hash, leaf_hash };
        match &line.row {
            None if !stated.bind(line.id) => {
                self.found(
                    index,
                    1,
                    format!("row {} is missing, and its leaf is not that of this id", line.id),
                );
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
        self.receipted(line.id, index, leaf_hash);
        if self.edge.append(leaf_hash).is_err() {
            // Every hash of the edge was made here.
            self.found(index, 1, "the tree cannot be computed".to_owned());
        }
        self.anchored();
    }

    /// Every receipt of a row was given for this leaf.
    fn receipted(&mut self, id: Uuid, index: u64, leaf_hash: Hash) {
        for receipt in self.receipts.remove(&id).unwrap_or_default() {
            if receipt.leaf_hash == leaf_hash {
                self.report.n_receipts_verified += 1;
            } else {
                self.found(index, 1, format!("row {id} is not the one that its receipt was given for"));
            }
        }
    }

    /// A row without a place stands behind all places.
    fn stray(&mut self, line: &StrayLine<'_>) {
        let (end, id) = (self.edge.size(), line.id);
        self.report.n_rows_labelled += u64::from(line.labels.is_some());
        let now = OffsetDateTime::now_utc().unix_timestamp() as u64;
        let soon = self.newest..=now + 2 * LONGEST_WAIT;
        let long = made_at(id).is_none_or(|at| !soon.contains(&(at + LONGEST_WAIT)));
        if !line.waits {
            self.found(
                end,
                1,
                format!("row {id} has no leaf: the service did not write it, or its leaf was taken away"),
            );
        } else if long {
            self.found(
                end,
                1,
                format!(
                    "row {id} waits for its place as no row of the service does: it did not write this one"
                ),
            );
        } else {
            self.report.n_rows_waiting += 1;
        }
        let digests = digests(line.row.get()).filter(|(stated, _)| *stated == id);
        match digests {
            Some((_, digests)) => self.receipted(id, end, digests.leaf_hash),
            None => self.found(end, 1, format!("row {id} cannot be read")),
        }
    }

    fn anchored(&mut self) {
        let size = self.edge.size();
        let Some(roots) = self.expectations.anchors.0.get(&size) else { return };
        if self.edge.root().is_ok_and(|root| roots.contains(&root)) {
            self.report.n_heads_verified += 1;
            self.report.anchored_size = size;
            self.proven = size;
        } else {
            let anchored = self.report.anchored_size;
            // The heads since then are signed, and not anchored.
            let stolen = format!("; with the log's key it could have been changed from leaf {anchored} on");
            self.not_the_tree("an anchored checkpoint", if anchored < self.proven { &stolen } else { "" });
        }
    }

    fn head(&mut self, line: &HeadLine<'_>) {
        let size = self.edge.size();
        match self.key.checkpoint(line.checkpoint.as_bytes()) {
            Err(error) => {
                self.found(size, 1, format!("the checkpoint of {} leaves is {error}", line.tree_size));
            }
            Ok(head) if head.size() != line.tree_size || head.size() != size => {
                let what = format!(
                    "after {size} leaves stands a checkpoint of {} leaves as that of {}",
                    head.size(),
                    line.tree_size
                );
                self.found(size.min(head.size()), 1, what);
            }
            Ok(head) if self.edge.root().is_ok_and(|root| root == *head.hash()) => {
                self.report.n_heads_verified += 1;
                self.proven = self.proven.max(size);
            }
            Ok(_) => self.not_the_tree("a signed checkpoint", ""),
        }
    }

    /// One of the leaves since the last head is not what was signed; the next ones cannot be told from it.
    fn not_the_tree(&mut self, head: &str, more: &str) {
        self.missed = true;
        let size = self.edge.size();
        let what = format!("the {size} leaves do not lead to the root of {head} of that size{more}");
        self.found(self.proven, size - self.proven, what);
    }

    fn end(mut self) -> Report {
        let size = self.edge.size();
        if let Some((anchored, _)) = self.expectations.anchors.0.range(size + 1..).next_back() {
            self.found(
                size,
                anchored - size,
                format!("the log had {anchored} leaves and has {size}: its end is missing"),
            );
        }
        // Places and the head above them are written together.
        if self.proven < size && !self.missed {
            let what = format!("no signed checkpoint covers the leaves after the first {}", self.proven);
            self.found(self.proven, size - self.proven, what);
        }
        let missing: Vec<Uuid> = self.receipts.keys().copied().collect();
        for id in missing {
            self.found(size, 1, format!("row {id} has a receipt and is not in the export"));
        }
        self.report.n_leaves = size;
        self.report.findings.sort_by_key(|finding| finding.leaf_index);
        self.report
    }
}

/// Whether a row has this id and these digests. A tool may have changed its text without changing its values: it is made canonical
/// again.
fn hashes_to(row: &str, id: Uuid, stated: Digests) -> bool {
    let fits = |row: &str| digests(row) == Some((id, stated));
    fits(row) || serde_json_canonicalizer::pipe(row).is_ok_and(|row| fits(&row))
}

/// A row's id, and what of it is in the tree.
fn digests(row: &str) -> Option<(Uuid, Digests)> {
    #[derive(serde::Deserialize)]
    struct Head {
        id: Uuid,
        encoding_version: i16,
    }
    let Head { id, encoding_version } = serde_json::from_str(row).ok()?;
    Some((id, Digests::of(id, encoding_version, row.as_bytes())))
}
