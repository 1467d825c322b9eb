//! Computes delays: a leaky bucket per sender. Answers up to a steady rate leave at once; each further one
//! waits longer.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Burst after a pause, in seconds of the steady rate.
const BURST_SECONDS: u32 = 2;

/// Number of senders at which idle ones are removed; afterwards, whenever the number has doubled.
const FIRST_SWEEP: usize = 1024;

/// Delay and backlog of each sender are bounded.
#[derive(Debug)]
pub(super) struct Pacer<K> {
    interval: Duration,
    burst: Duration,
    max_delay: Duration,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    /// When the bucket is empty again.
    empty_at: HashMap<K, Instant>,
    sweep_at: usize,
}

impl<K: Eq + Hash> Pacer<K> {
    /// `per_second` answers of one sender leave without delay; the others are delayed by at most `max_delay`.
    pub(super) fn new(per_second: NonZeroU32, max_delay: Duration) -> Self {
        let interval = Duration::from_secs(1) / per_second.get();
        let state = Mutex::new(State { empty_at: HashMap::new(), sweep_at: FIRST_SWEEP });
        Self { interval, burst: Duration::from_secs(BURST_SECONDS.into()), max_delay, state }
    }

    /// Delay of the sender's next answer; counts the answer.
    pub(super) fn delay(&self, sender: K) -> Duration {
        self.delay_at(sender, Instant::now())
    }

    fn delay_at(&self, sender: K, now: Instant) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.empty_at.len() >= state.sweep_at {
            state.empty_at.retain(|_, empty_at| *empty_at > now);
            state.sweep_at = (2 * state.empty_at.len()).max(FIRST_SWEEP);
        }
        let empty_at = state.empty_at.entry(sender).or_insert(now);
        *empty_at = ((*empty_at).max(now) + self.interval).min(now + self.burst + self.max_delay);
        empty_at.saturating_duration_since(now + self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pacer() -> Pacer<&'static str> {
        Pacer::new(NonZeroU32::new(10).unwrap(), Duration::from_secs(5))
    }

    #[test]
    fn a_burst_is_answered_at_once_and_a_loop_waits_longer_each_time() {
        let (pacer, now) = (pacer(), Instant::now());
        for n in 0..20 {
            assert_eq!(pacer.delay_at("a", now), Duration::ZERO, "answer {n}");
        }
        let delays: Vec<_> = (0..100).map(|_| pacer.delay_at("a", now)).collect();
        assert!(delays.is_sorted() && delays[0] == Duration::from_millis(100), "{:?}", delays[0]);
        assert_eq!(delays[99], Duration::from_secs(5));
        assert_eq!(pacer.delay_at("b", now), Duration::ZERO);
    }

    #[test]
    fn a_sender_that_waits_is_answered_at_once_again() {
        let (pacer, now) = (pacer(), Instant::now());
        let slowed = (0..1000).map(|_| pacer.delay_at("a", now)).max();
        assert_eq!(slowed, Some(Duration::from_secs(5)));
        assert_eq!(pacer.delay_at("a", now + Duration::from_secs(6)), Duration::ZERO);
    }

    #[test]
    fn senders_are_forgotten() {
        let (pacer, now) = (Pacer::new(NonZeroU32::new(10).unwrap(), Duration::ZERO), Instant::now());
        for sender in 0..100_000 {
            pacer.delay_at(sender, now + Duration::from_millis(sender));
        }
        assert!(pacer.state.lock().unwrap().empty_at.len() < 3 * FIRST_SWEEP);
    }
}
