//! The audit log: receipts, proofs and checkpoints, roles and retention, and attacks on the database.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod appended_rows;
mod attacks;
mod changed_values;
mod columns;
mod erasure;
mod forged_rows;
mod forgery;
mod labels;
mod lost_writes;
mod reads;
mod replay;
mod replayed_answers;
mod restore;
mod retention;
mod roles;
mod takeover;
mod tampering;
mod target;
mod tree;

use system_tests::log;
