//! Recording what the audit log does.

use super::Metrics;
use std::time::Duration;

impl Metrics {
    /// So many rows were committed together.
    pub fn committed(&self, n_rows: usize) {
        self.commit_rows.observe(n_rows as f64);
    }

    /// Leaves of the tree.
    pub fn tree_size(&self, size: u64) {
        self.tree_size.set(size as i64);
    }

    /// Leaves under the newest anchored head.
    pub fn anchored(&self, size: u64) {
        self.tree_anchored.set(size as i64);
        self.operations.anchor_written();
    }

    /// Whether the tree cannot be continued.
    pub fn tree_broken(&self, broken: bool) {
        self.tree_broken.set(i64::from(broken));
    }

    /// How many leaves wait that nobody here wrote.
    pub fn foreign_leaves(&self, n: usize) {
        self.foreign_leaves.set(n as i64);
    }

    /// Whether this process sequences.
    pub fn sequencing(&self, leads: bool) {
        self.sequencing.set(i64::from(leads));
    }

    /// How old the oldest row of a step was.
    pub fn sequenced_after(&self, age: Duration) {
        self.sequenced_after.observe(age.as_secs_f64());
    }

    /// One answer withheld.
    pub fn audit_failed(&self) {
        self.audit_failures.inc();
    }
}
