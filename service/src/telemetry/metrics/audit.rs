//! Recording what the audit log does.

use super::Metrics;
use super::operations::seconds;
use std::time::{Duration, SystemTime};

impl Metrics {
    /// So many rows were committed together.
    pub fn committed(&self, n_rows: usize) {
        self.cxr.audit_commit_rows.observe(n_rows as f64);
    }

    /// Leaves of the tree.
    pub fn tree_size(&self, size: u64) {
        self.cxr.audit_tree_size.set(size as i64);
    }

    /// Leaves under the newest anchored head.
    pub fn anchored(&self, size: u64) {
        self.cxr.audit_tree_anchored_size.set(size as i64);
        self.cxr.audit_anchor_written_timestamp_seconds.set(seconds(SystemTime::now()));
    }

    /// Whether the tree cannot be continued.
    pub fn tree_broken(&self, broken: bool) {
        self.cxr.audit_tree_broken.set(i64::from(broken));
    }

    /// How many leaves wait that nobody here wrote.
    pub fn foreign_leaves(&self, n: usize) {
        self.cxr.audit_foreign_leaves.set(n as i64);
    }

    /// Whether this process sequences.
    pub fn sequencing(&self, leads: bool) {
        self.cxr.audit_sequencing.set(i64::from(leads));
    }

    /// How old the oldest row of a step was.
    pub fn sequenced_after(&self, age: Duration) {
        self.cxr.audit_sequenced_after_seconds.observe(age.as_secs_f64());
    }

    /// One answer withheld.
    pub fn audit_failed(&self) {
        self.cxr.audit_failures_total.inc();
    }
}
