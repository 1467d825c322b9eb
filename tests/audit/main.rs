//! The audit log's tree: receipts, proofs and checkpoints from outside, and whoever attacks the database directly.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod attacks;
mod erasure;
mod foreign;
mod replay;
mod restore;
mod retention;
mod roles;
mod takeover;
mod tree;

use system_tests::log;
