//! How long a refusal is held back. Each sender may be refused so many times a second without delay; one that comes back sooner waits
//! longer for each further refusal, so that a loop of refusals costs the sender time and the service nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many seconds' worth of answers may leave at once after a pause.
const BURST_SECONDS: u32 = 2;

/// Senders are forgotten when so many are known, and again each time their number has doubled.
const FIRST_SWEEP: usize = 1024;

/// Answers of each sender at a steady rate (a leaky bucket); the delay is bounded, and so is what is owed after a pause.
#[derive(Debug)]
pub(super) struct Pacer<K> {
    interval: Duration,
    burst: Duration,
    longest: Duration,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    /// When everything that was answered so far is paid for.
    paid: HashMap<K, Instant>,
    sweep_at: usize,
}

impl<K: Eq + Hash> Pacer<K> {
    /// `per_second` answers of a sender without delay; the others are delayed, by `longest` at most.
    pub(super) fn new(per_second: NonZeroU32, longest: Duration) -> Self {
        let interval = Duration::from_secs(1) / per_second.get();
        let state = Mutex::new(State { paid: HashMap::new(), sweep_at: FIRST_SWEEP });
        Self { interval, burst: Duration::from_secs(BURST_SECONDS.into()), longest, state }
    }

    /// How long the sender's next answer is held back.
    pub(super) fn delay(&self, sender: K) -> Duration {
        self.delay_at(sender, Instant::now())
    }

    fn delay_at(&self, sender: K, now: Instant) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.paid.len() >= state.sweep_at {
            state.paid.retain(|_, paid| *paid > now);
            state.sweep_at = (2 * state.paid.len()).max(FIRST_SWEEP);
        }
        let paid = state.paid.entry(sender).or_insert(now);
        *paid = ((*paid).max(now) + self.interval).min(now + self.burst + self.longest);
        paid.saturating_duration_since(now + self.burst)
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
        assert!(pacer.state.lock().unwrap().paid.len() < 3 * FIRST_SWEEP);
    }
}
