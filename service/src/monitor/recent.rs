//! The last rows and labels, which the figures are computed from.

use monitoring::observation::{LabelledObservation, Observation};
use std::collections::VecDeque;

/// Rows of all streams.
pub(super) const N_ROWS: usize = 2000;
pub(super) const N_LABELS: usize = 20_000;

#[derive(Debug, Default)]
pub(super) struct Recent {
    pub(super) rows: VecDeque<Observation>,
    pub(super) labels: VecDeque<LabelledObservation>,
}

impl Recent {
    pub(super) fn add(&mut self, rows: Vec<Observation>, labels: Vec<LabelledObservation>) {
        keep(&mut self.rows, rows, N_ROWS);
        keep(&mut self.labels, labels, N_LABELS);
    }
}

fn keep<T>(kept: &mut VecDeque<T>, new: Vec<T>, most: usize) {
    kept.extend(new);
    kept.drain(..kept.len().saturating_sub(most));
}
