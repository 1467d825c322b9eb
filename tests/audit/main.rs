//! The audit log's tree: receipts, proofs and checkpoints from outside, and whoever attacks the database directly.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod additions;
mod attacks;
mod columns;
mod deeds;
mod erasure;
mod foreign;
mod forgery;
mod labels;
mod reads;
mod repeats;
mod replay;
mod restore;
mod retention;
mod roles;
mod swallowed;
mod takeover;
mod target;
mod tree;
mod values;

use system_tests::log;
