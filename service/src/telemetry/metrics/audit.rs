//! Records the audit log.

use super::Metrics;
use super::operations::seconds;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

impl Metrics {
    pub fn committed(&self, n_rows: usize) {
        self.cxr.audit_commit_rows.observe(n_rows as f64);
        self.n_committed.fetch_add(n_rows as u64, Ordering::Relaxed);
    }

    /// Rows that this process has committed.
    pub fn n_committed(&self) -> u64 {
        self.n_committed.load(Ordering::Relaxed)
    }

    pub fn tree_size(&self, size: u64) {
        self.cxr.audit_tree_size.set(size as i64);
    }

    /// Leaves under the checkpoint that was written to the anchor just now.
    pub fn anchored(&self, size: u64) {
        self.cxr.audit_tree_anchored_size.set(size as i64);
        self.cxr.audit_anchor_written_timestamp_seconds.set(seconds(SystemTime::now()));
    }

    pub fn tree_broken(&self, broken: bool) {
        self.cxr.audit_tree_broken.set(i64::from(broken));
    }

    pub fn foreign_leaves(&self, n: usize) {
        self.cxr.audit_foreign_leaves.set(n as i64);
    }

    pub fn sequencing(&self, leads: bool) {
        self.cxr.audit_sequencing.set(i64::from(leads));
    }

    pub fn sequenced_after(&self, age: Duration) {
        self.cxr.audit_sequenced_after_seconds.observe(age.as_secs_f64());
    }

    pub fn audit_failed(&self) {
        self.cxr.audit_failures_total.inc();
    }
}
