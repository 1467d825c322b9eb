//! The attacks, each in two forms: a change of the parsed export, and SQL on the database.

use crate::forgery::{Log, Signature};
use crate::target::{ROWS, Target};
use std::fmt::Write as _;
use tlog_tiles::HashReader as _;

pub(crate) fn row_at(index: u64) -> String {
    format!("(select prediction_id from audit_leaves where leaf_index = {index})")
}

/// SQL that moves the leaves from an index on by `by`.
fn shift(from: u64, by: i64) -> String {
    format!(
        "update audit_leaves set leaf_index = leaf_index + 100000 where leaf_index >= {from}; \
         update audit_leaves set leaf_index = leaf_index - 100000 + {by} where leaf_index >= 100000; "
    )
}

pub(crate) fn delete_row(log: &mut Log, index: u64) {
    log.leaves[index as usize].lose_row();
}

pub(crate) fn delete_row_sql(_: &Target, index: u64) -> String {
    format!("delete from predictions where id = {}", row_at(index))
}

pub(crate) fn delete_leaf(log: &mut Log, index: u64) {
    log.leaves.remove(index as usize);
}

pub(crate) fn delete_leaf_sql(target: &Target, index: u64) -> String {
    format!("{}; delete from audit_leaves where leaf_index = {index}", delete_row_sql(target, index))
}

pub(crate) fn close_gap(log: &mut Log, index: u64) {
    delete_leaf(log, index);
    log.shift(index as usize, -1);
}

pub(crate) fn close_gap_sql(target: &Target, index: u64) -> String {
    format!("{}; {}", delete_leaf_sql(target, index), shift(index + 1, -1))
}

/// A copy of a row with another id.
fn under_another_id(row: &str) -> String {
    let id = serde_json::from_str::<serde_json::Value>(row).unwrap()["id"].as_str().unwrap().to_owned();
    let forged = format!("{}{}", &id[..35], if id.ends_with('0') { '1' } else { '0' });
    row.replace(&id, &forged)
}

/// Inserts a forged row with a matching leaf.
pub(crate) fn insert(log: &mut Log, index: u64) {
    let mut forged = log.leaves[index as usize].clone();
    forged.rewrite(under_another_id);
    log.shift(index as usize, 1);
    log.leaves.insert(index as usize, forged);
}

pub(crate) fn insert_sql(target: &Target, index: u64) -> String {
    format!("{}; {}", shift(index, 1), add_sql(target, index, index))
}

/// SQL that adds the copy of a row and its leaf at a free index.
pub(crate) fn add_sql(target: &Target, row: u64, index: u64) -> String {
    let original = &target.log.leaves[row as usize];
    let mut forged = original.clone();
    forged.rewrite(under_another_id);
    format!(
        "{}; insert into audit_leaves values ({index}, '{}', '\\x{}', '\\x{}')",
        add_row_sql(target, row),
        forged.id,
        hex::encode(forged.hash.0),
        hex::encode(forged.row_hash.0)
    )
}

/// SQL that adds the copy of a row without a leaf.
pub(crate) fn add_row_sql(target: &Target, row: u64) -> String {
    let original = &target.log.leaves[row as usize];
    let mut forged = original.clone();
    forged.rewrite(under_another_id);
    format!(
        "create temporary table forged as select * from predictions where id = '{}'; update forged set id = '{}'; \
         insert into predictions select * from forged",
        original.id, forged.id
    )
}

/// The leaf that is swapped with the one at `index`: a later one.
fn other(index: u64) -> u64 {
    index + 1 + (index * 7 + 3) % (ROWS - 1 - index)
}

pub(crate) fn swap(log: &mut Log, index: u64) {
    let (one, two) = (index as usize, other(index) as usize);
    log.leaves.swap(one, two);
    (log.leaves[one].index, log.leaves[two].index) = (index, other(index));
}

pub(crate) fn swap_sql(_: &Target, index: u64) -> String {
    let other = other(index);
    format!(
        "update audit_leaves set leaf_index = 100000 where leaf_index = {index}; \
         update audit_leaves set leaf_index = {index} where leaf_index = {other}; \
         update audit_leaves set leaf_index = {other} where leaf_index = 100000"
    )
}

pub(crate) fn truncate(log: &mut Log, index: u64) {
    log.leaves.truncate(index as usize);
    log.checkpoints.retain(|size, _| *size <= index);
}

pub(crate) fn truncate_sql(_: &Target, index: u64) -> String {
    let positions = tlog_tiles::stored_hash_count(index);
    format!(
        "delete from predictions where id in (select prediction_id from audit_leaves where leaf_index >= {index}); \
         delete from audit_leaves where leaf_index >= {index}; delete from audit_hashes where position >= {positions}; \
         delete from audit_checkpoints where tree_size > {index}"
    )
}

/// Changes the actor of a row.
fn change_actor(row: &str) -> String {
    let forged = row.replace("\"actor\":\"tester\"", "\"actor\":\"nobody\"");
    assert_ne!(row, forged);
    forged
}

/// Changes a row and its leaf, but no checkpoint.
pub(crate) fn rewrite_one(log: &mut Log, index: u64) {
    log.leaves[index as usize].rewrite(change_actor);
}

pub(crate) fn rewrite_one_sql(target: &Target, index: u64) -> String {
    let mut forged = target.log.clone();
    rewrite_one(&mut forged, index);
    let leaf = &forged.leaves[index as usize];
    format!(
        "update predictions set actor = 'nobody' where id = '{}'; \
         update audit_leaves set leaf_hash = '\\x{}', row_hash = '\\x{}' where leaf_index = {index}",
        leaf.id,
        hex::encode(leaf.hash.0),
        hex::encode(leaf.row_hash.0)
    )
}

/// Changes every row from an index on, with leaves, tree hashes and roots, so that everything is consistent
/// again.
pub(crate) fn rewrite(log: &mut Log, index: u64, signature: Signature) {
    for leaf in &mut log.leaves[index as usize..] {
        leaf.rewrite(change_actor);
    }
    log.sign_again(index, signature);
}

pub(crate) fn rewrite_sql(target: &Target, index: u64, signature: Signature) -> String {
    let mut forged = target.log.clone();
    rewrite(&mut forged, index, signature);
    let mut statements = format!(
        "update predictions set actor = 'nobody' where id in (select prediction_id from audit_leaves where leaf_index >= {index}); "
    );
    for leaf in &forged.leaves[index as usize..] {
        let (index, hash, row_hash) = (leaf.index, hex::encode(leaf.hash.0), hex::encode(leaf.row_hash.0));
        let _ = write!(
            statements,
            "update audit_leaves set leaf_hash = '\\x{hash}', row_hash = '\\x{row_hash}' where leaf_index = {index}; "
        );
    }
    let hashes = forged.hashes();
    for position in tlog_tiles::stored_hash_count(index)..hashes.0.len() as u64 {
        let hash = hex::encode(hashes.read_hashes(&[position]).unwrap()[0].0);
        let _ =
            write!(statements, "update audit_hashes set hash = '\\x{hash}' where position = {position}; ");
    }
    for (size, note) in forged.checkpoints.range(index + 1..) {
        let root = hex::encode(forged.root(*size).0);
        let _ = write!(
            statements,
            "update audit_checkpoints set root_hash = '\\x{root}', note = '{note}' where tree_size = {size}; "
        );
    }
    statements
}

/// Restores a backup of that size and continues with other rows, signed with the log's own key.
pub(crate) fn roll_back(log: &mut Log, index: u64) {
    let index = log.checkpoints.range(..=index).next_back().map_or(0, |(size, _)| *size);
    for leaf in &mut log.leaves[index as usize..] {
        leaf.rewrite(under_another_id);
    }
    log.sign_again(index, Signature::StolenKey);
}
