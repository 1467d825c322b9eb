//! A parsed export that can be changed and written again: the effect of an attack without a database.
//! `attacks.rs` makes the same attacks on databases and compares the exports.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use tlog_tiles::{Error, Hash, HashReader, record_hash, stored_hashes_for_record_hash, tree_hash};

const ORIGIN: &str = "development.cxr.invalid/log";

/// A leaf with its row.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) index: u64,
    pub(crate) id: String,
    pub(crate) hash: Hash,
    /// SHA-256 of the row's canonical form.
    pub(crate) row_hash: Hash,
    recorded_at: Value,
    /// The canonical form of the row.
    pub(crate) row: Option<String>,
}

impl Leaf {
    /// Changes the row and makes the leaf match.
    pub(crate) fn rewrite(&mut self, change: impl FnOnce(&str) -> String) {
        let row = change(self.row.as_deref().unwrap());
        serde_json::from_str::<Value>(&row).unwrap()["id"].as_str().unwrap().clone_into(&mut self.id);
        self.row_hash = Hash(Sha256::digest(&row).into());
        let id = hex::decode(self.id.replace('-', "")).unwrap();
        self.hash = record_hash(&[id.as_slice(), &self.row_hash.0].concat());
        self.row = Some(row);
    }

    /// Removes the row and keeps the leaf.
    pub(crate) fn lose_row(&mut self) {
        (self.row, self.recorded_at) = (None, Value::Null);
    }
}

/// A log: leaves in order, and the notes of its checkpoints by tree size.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) checkpoints: BTreeMap<u64, String>,
}

/// The signature of forged checkpoints.
#[derive(Clone, Copy)]
pub(crate) enum Signature {
    /// The old signature stays under the new root.
    Old,
    /// Made with another key under the log's name and key id.
    AnotherKey,
    /// Made with the log's own, stolen key.
    StolenKey,
}

impl Log {
    pub(crate) fn parse(export: &str) -> Self {
        let (mut leaves, mut checkpoints) = (Vec::new(), BTreeMap::new());
        for line in export.lines() {
            let value: Value = serde_json::from_str(line).unwrap();
            if let Some(size) = value["tree_size"].as_u64() {
                checkpoints.insert(size, value["checkpoint"].as_str().unwrap().to_owned());
                continue;
            }
            let row = line.split_once("\"row\":").unwrap().1.strip_suffix('}').unwrap();
            leaves.push(Leaf {
                index: value["leaf_index"].as_u64().unwrap(),
                id: value["id"].as_str().unwrap().to_owned(),
                hash: Hash::parse_hash(value["leaf_hash"].as_str().unwrap()).unwrap(),
                row_hash: Hash::parse_hash(value["row_hash"].as_str().unwrap()).unwrap(),
                recorded_at: value["recorded_at"].clone(),
                row: (row != "null").then(|| row.to_owned()),
            });
        }
        Self { leaves, checkpoints }
    }

    /// The format of `audit export`: a checkpoint comes after the last leaf that it covers, or at the end.
    pub(crate) fn export(&self) -> String {
        let mut text = String::new();
        let line = |size: u64, note: &String| {
            format!("{{\"tree_size\":{size},\"checkpoint\":{}}}\n", Value::from(note.as_str()))
        };
        for Leaf { index, id, hash, row_hash, recorded_at, row } in &self.leaves {
            let row = row.as_deref().unwrap_or("null");
            let _ = writeln!(
                text,
                "{{\"leaf_index\":{index},\"id\":\"{id}\",\"leaf_hash\":\"{hash}\",\"row_hash\":\"{row_hash}\",\"recorded_at\":{recorded_at},\"row\":{row}}}"
            );
            if let Some(note) = self.checkpoints.get(&(index + 1)) {
                text += &line(index + 1, note);
            }
        }
        let end = self.leaves.last().map_or(0, |leaf| leaf.index + 1);
        for (size, note) in self.checkpoints.range(end + 1..) {
            text += &line(*size, note);
        }
        text
    }

    /// Moves the leaf indices from a position of the list on by `by`.
    pub(crate) fn shift(&mut self, from: usize, by: i64) {
        for leaf in &mut self.leaves[from..] {
            leaf.index = leaf.index.strict_add_signed(by);
        }
    }

    /// Every stored hash of the tree of these leaves, by position.
    pub(crate) fn hashes(&self) -> Stored {
        let mut stored = Stored(Vec::new());
        for (n, leaf) in (0..).zip(&self.leaves) {
            let completed = stored_hashes_for_record_hash(n, leaf.hash, &stored).unwrap();
            stored.0.extend(completed);
        }
        stored
    }

    /// Makes the checkpoints above a size match the leaves, with this signature.
    pub(crate) fn sign_again(&mut self, above: u64, signature: Signature) {
        let hashes = self.hashes();
        for (size, note) in self.checkpoints.range_mut(above + 1..) {
            let root = tree_hash(*size, &hashes).unwrap();
            let text = format!("{ORIGIN}\n{size}\n{root}\n");
            *note = match signature {
                Signature::Old => format!("{text}\n{}", note.split_once("\n\n").unwrap().1),
                Signature::AnotherKey => signed(&text, &SigningKey::from_bytes(&[7; 32])),
                Signature::StolenKey => signed(&text, &key()),
            };
        }
    }

    pub(crate) fn root(&self, size: u64) -> Hash {
        tree_hash(size, &self.hashes()).unwrap()
    }
}

/// A note with the log's name and key id (c2sp.org/signed-note).
fn signed(text: &str, key: &SigningKey) -> String {
    let id = crate::log::PUBLIC_KEY.split('+').nth(1).and_then(|id| hex::decode(id).ok()).unwrap();
    let signature = [&id[..], &key.sign(text.as_bytes()).to_bytes()].concat();
    format!("{text}\n\u{2014} {ORIGIN} {}\n", STANDARD.encode(signature))
}

/// The log's private key, which is public in the development profile.
fn key() -> SigningKey {
    let config = std::fs::read_to_string(system_tests::root().join("config/development.yaml")).unwrap();
    let line = config.lines().find_map(|line| line.trim().strip_prefix("signing_key: ")).unwrap();
    let key = STANDARD.decode(line.splitn(5, '+').nth(4).unwrap()).unwrap();
    SigningKey::from_bytes(key[1..].try_into().unwrap())
}

/// Hashes in the order of their positions.
pub(crate) struct Stored(pub(crate) Vec<Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, positions: &[u64]) -> Result<Vec<Hash>, Error> {
        Ok(positions.iter().map(|position| self.0[*position as usize]).collect())
    }
}
