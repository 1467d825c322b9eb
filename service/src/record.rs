//! The audit row and everything that is computed from it alone: its columns, canonical form, leaf and HMACs,
//! and the arithmetic of the tree. Below `store`: nothing here knows Postgres beyond the names and types of
//! the columns.

pub mod columns;
pub mod hmac;
pub mod idempotency;
pub mod leaf;
pub mod sealed;
pub mod shadow;
pub mod tree;

pub use columns::{AuditRow, Hex};
pub use leaf::Digests;
pub use sealed::SealedRow;
