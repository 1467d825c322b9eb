//! The order of large jobs: clients take turns, so that one with much work does not delay one with little.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996). In virtual time, a job starts when the
//! previous job of its client ends, but not before now. The job with the earliest start is next.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// In virtual time.
    start: u64,
    /// Of two jobs with the same start, the older one is first.
    number: u64,
}

/// The waiting jobs of all clients.
#[derive(Debug)]
pub(super) struct Turns<J> {
    waiting: BTreeMap<Position, J>,
    /// End of each client's last job in virtual time.
    ends: HashMap<Arc<str>, u64>,
    now: u64,
    n_pushed: u64,
}

impl<J> Turns<J> {
    pub(super) fn new() -> Self {
        Self { waiting: BTreeMap::new(), ends: HashMap::new(), now: 0, n_pushed: 0 }
    }

    /// Adds a job of `work` units.
    pub(super) fn push(&mut self, client: &Arc<str>, work: u64, job: J) -> Position {
        let end = self.ends.entry(Arc::clone(client)).or_insert(self.now);
        let start = self.now.max(*end);
        *end = start.saturating_add(work.max(1));
        self.n_pushed += 1;
        let position = Position { start, number: self.n_pushed };
        self.waiting.insert(position, job);
        position
    }

    pub(super) fn first(&self) -> Option<&J> {
        self.waiting.first_key_value().map(|(_, job)| job)
    }

    pub(super) fn pop(&mut self) -> Option<J> {
        let (position, job) = self.waiting.pop_first()?;
        self.now = position.start;
        // A client that is not ahead of the others starts again at the current time.
        self.ends.retain(|_, end| *end > position.start);
        Some(job)
    }

    /// Removes a waiting job; its work still counts for its client.
    pub(super) fn remove(&mut self, position: Position) -> Option<J> {
        self.waiting.remove(&position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(turns: &mut Turns<(&'static str, u32)>) -> Vec<(&'static str, u32)> {
        std::iter::from_fn(|| turns.pop()).collect()
    }

    #[test]
    fn one_client_is_served_in_order() {
        let (mut turns, client) = (Turns::new(), Arc::from("a"));
        for n in 0..5 {
            turns.push(&client, u64::from(5 - n), ("a", n));
        }
        assert_eq!(order(&mut turns), [("a", 0), ("a", 1), ("a", 2), ("a", 3), ("a", 4)]);
    }

    #[test]
    fn a_client_with_much_work_waits_for_itself() {
        let (mut turns, many, few) = (Turns::new(), Arc::from("many"), Arc::from("few"));
        for n in 0..10 {
            turns.push(&many, 500, ("many", n));
        }
        assert_eq!(turns.pop(), Some(("many", 0)));
        // It comes last and is next.
        for n in 0..5 {
            turns.push(&few, 10, ("few", n));
        }
        let rest = order(&mut turns);
        assert_eq!(rest[..5], [("few", 0), ("few", 1), ("few", 2), ("few", 3), ("few", 4)]);
        assert_eq!(rest.len(), 14);
    }

    #[test]
    fn two_clients_share_by_work_and_none_starves() {
        let (mut turns, large, small) = (Turns::new(), Arc::from("large"), Arc::from("small"));
        for n in 0..100 {
            turns.push(&small, 10, ("small", n));
        }
        for n in 0..10 {
            turns.push(&large, 100, ("large", n));
        }
        let order = order(&mut turns);
        let half = order[..55].iter().filter(|(client, _)| *client == "large").count();
        assert!((4..=6).contains(&half), "{order:?}");
    }

    #[test]
    fn a_removed_job_does_not_run_and_clients_are_forgotten() {
        let (mut turns, client) = (Turns::new(), Arc::from("a"));
        let positions: Vec<Position> = (0..3).map(|n| turns.push(&client, 1, n)).collect();
        assert_eq!(turns.remove(positions[1]), Some(1));
        assert_eq!(turns.remove(positions[1]), None);
        assert_eq!(turns.first(), Some(&0));
        assert_eq!((turns.pop(), turns.pop(), turns.pop()), (Some(0), Some(2), None));
        for client in ["b", "c", "d"] {
            turns.push(&Arc::from(client), 1, 0);
            turns.pop();
        }
        turns.push(&Arc::from("e"), 1, 0);
        turns.push(&Arc::from("e"), 1, 0);
        turns.pop();
        turns.pop();
        assert!(turns.ends.len() <= 4, "{:?}", turns.ends);
    }
}
