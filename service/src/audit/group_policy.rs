//! When rows are committed together: a pure function of the waiting rows and the images in flight.

use crate::config::audit::CommitConfig;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupPolicy {
    pub(super) max_rows: usize,
    pub(super) max_delay: Duration,
    /// With fewer images in flight than this, each row is committed alone.
    pub(super) from_in_flight: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitStep {
    /// Commit this many of the oldest rows.
    Commit(usize),
    /// Ask again after this time, or when a row arrives.
    Wait(Duration),
    /// Ask again when a row arrives.
    Idle,
}

impl GroupPolicy {
    pub(super) const fn new(config: &CommitConfig) -> Self {
        Self {
            max_rows: config.max_rows.get(),
            max_delay: config.max_delay_ms.duration(),
            from_in_flight: config.from_in_flight,
        }
    }

    /// Whether a row is committed by itself and at once. `in_flight` includes the row's own image.
    pub(super) const fn commits_at_once(&self, in_flight: usize) -> bool {
        in_flight < self.from_in_flight || self.max_rows == 1
    }

    /// A group is complete if it is full, if all images in flight wait for it, or after `max_delay`.
    pub(super) fn next(&self, waiting: usize, oldest_waited: Duration, in_flight: usize) -> CommitStep {
        if waiting == 0 {
            return CommitStep::Idle;
        }
        if self.commits_at_once(in_flight) || waiting >= self.max_rows.min(in_flight) {
            return CommitStep::Commit(waiting.min(self.max_rows));
        }
        match self.max_delay.checked_sub(oldest_waited) {
            None | Some(Duration::ZERO) => CommitStep::Commit(waiting),
            Some(left) => CommitStep::Wait(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    const POLICY: GroupPolicy = GroupPolicy { max_rows: 8, max_delay: ms(10), from_in_flight: 6 };

    #[test]
    fn a_row_waits_only_where_others_may_come() {
        assert_eq!(POLICY.next(0, ms(0), 50), CommitStep::Idle);
        assert_eq!(POLICY.next(1, ms(0), 5), CommitStep::Commit(1), "below from_in_flight");
        assert_eq!(POLICY.next(6, ms(0), 6), CommitStep::Commit(6), "all of them wait for this commit");
        assert_eq!(POLICY.next(5, ms(3), 6), CommitStep::Wait(ms(7)));
        assert_eq!(POLICY.next(1, ms(10), 50), CommitStep::Commit(1));
        assert_eq!(POLICY.next(30, ms(0), 50), CommitStep::Commit(8), "full");
        let single = GroupPolicy { max_rows: 1, ..POLICY };
        assert_eq!(single.next(3, ms(0), 50), CommitStep::Commit(1));
    }

    #[test]
    fn no_row_waits_longer_than_the_delay_and_no_group_is_larger_than_allowed() {
        for waiting in 0..40 {
            for waited in 0..20 {
                for in_flight in waiting..80 {
                    match POLICY.next(waiting, ms(waited), in_flight) {
                        CommitStep::Commit(n) => assert!((1..=waiting.min(POLICY.max_rows)).contains(&n)),
                        CommitStep::Wait(left) => {
                            assert!(ms(waited) + left <= POLICY.max_delay && left > ms(0));
                        }
                        CommitStep::Idle => assert_eq!(waiting, 0),
                    }
                }
            }
        }
    }
}
