//! When a batch runs and how large it is: a pure function of the queue and the busy sessions.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPolicy {
    pub max_batch: usize,
    /// Longest time that an image waits for others while all sessions are busy.
    pub max_delay: Duration,
    pub sessions: usize,
    /// Whether there is a single-image session besides.
    pub has_single_image_session: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub waited: Duration,
    pub left: Duration,
    /// Whether no other image was in flight when it was queued.
    pub only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchStep {
    /// Send a batch of this many of the oldest images.
    Run(usize),
    /// Send the only image to the single-image session.
    RunSingle,
    /// Ask again after this time, or after the next message.
    Wait(Duration),
    /// Ask again after the next message.
    Idle,
}

impl BatchPolicy {
    /// The next step. `unfinished` counts the batches that were sent and have not ended; `cost` estimates the
    /// run time of a batch by its size.
    ///
    /// Idle sessions share the queue at once. While all sessions are busy, one more batch for each is sent
    /// ahead once it is full or its oldest image has waited for `max_delay`. A batch is made smaller if it
    /// would otherwise run past the deadline of one of its images. The single-image session gets an image if
    /// no other is in flight.
    pub fn next(
        &self,
        waiting: &[Waiting],
        unfinished: usize,
        cost: impl Fn(usize) -> Option<Duration>,
    ) -> BatchStep {
        let Some(oldest) = waiting.first() else { return BatchStep::Idle };
        if self.has_single_image_session && oldest.only && unfinished == 0 && waiting.len() == 1 {
            return BatchStep::RunSingle;
        }
        let idle = self.sessions.saturating_sub(unfinished);
        if idle > 0 {
            let share = waiting.len().div_ceil(idle).min(self.max_batch);
            return BatchStep::Run(in_time(&waiting[..share], cost));
        }
        if unfinished >= 2 * self.sessions {
            return BatchStep::Idle;
        }
        if waiting.len() >= self.max_batch {
            return BatchStep::Run(in_time(&waiting[..self.max_batch], cost));
        }
        match self.max_delay.checked_sub(oldest.waited) {
            None | Some(Duration::ZERO) => BatchStep::Run(in_time(waiting, cost)),
            Some(left) => BatchStep::Wait(left),
        }
    }
}

/// The most images, at least one, that end before all their deadlines; lost deadlines are ignored.
fn in_time(batch: &[Waiting], cost: impl Fn(usize) -> Option<Duration>) -> usize {
    let lasts = |n: usize| cost(n).unwrap_or_default();
    let shortest = lasts(1);
    let mut largest = 1;
    let mut tightest = Duration::MAX;
    for (index, image) in batch.iter().enumerate() {
        if image.left >= shortest {
            tightest = tightest.min(image.left);
        }
        if lasts(index + 1) <= tightest {
            largest = index + 1;
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn queue(waited: &[u64]) -> Vec<Waiting> {
        waited.iter().map(|waited| Waiting { waited: ms(*waited), left: ms(60_000), only: true }).collect()
    }

    const POLICY: BatchPolicy =
        BatchPolicy { max_batch: 8, max_delay: ms(5), sessions: 2, has_single_image_session: false };

    fn unknown(_: usize) -> Option<Duration> {
        None
    }

    #[test]
    fn nothing_waits_while_a_session_is_idle() {
        for unfinished in 0..POLICY.sessions {
            for n in 1..40 {
                let step = POLICY.next(&queue(&vec![0; n]), unfinished, unknown);
                let BatchStep::Run(size) = step else {
                    panic!("{n} waiting, {unfinished} unfinished: {step:?}")
                };
                assert!((1..=POLICY.max_batch).contains(&size));
            }
        }
        assert_eq!(POLICY.next(&queue(&[0; 6]), 0, unknown), BatchStep::Run(3), "shared out between two");
        assert_eq!(POLICY.next(&[], 0, unknown), BatchStep::Idle);
    }

    #[test]
    fn the_single_image_session_is_used_when_no_other_image_runs_waits_or_is_decoded() {
        let policy = BatchPolicy { has_single_image_session: true, ..POLICY };
        assert_eq!(policy.next(&queue(&[0]), 0, unknown), BatchStep::RunSingle);
        let others_in_flight = [Waiting { only: false, ..queue(&[0])[0] }];
        assert_eq!(policy.next(&others_in_flight, 0, unknown), BatchStep::Run(1), "others are being decoded");
        assert_eq!(policy.next(&queue(&[0, 0]), 0, unknown), BatchStep::Run(1));
        assert_eq!(policy.next(&queue(&[0]), 1, unknown), BatchStep::Run(1));
        assert_eq!(POLICY.next(&queue(&[0]), 0, unknown), BatchStep::Run(1));
    }

    #[test]
    fn while_all_are_busy_a_batch_closes_full_or_after_the_delay() {
        assert_eq!(POLICY.next(&queue(&[3, 1]), 2, unknown), BatchStep::Wait(ms(2)));
        assert_eq!(POLICY.next(&queue(&[5, 1]), 2, unknown), BatchStep::Run(2));
        assert_eq!(POLICY.next(&queue(&[9, 9]), 3, unknown), BatchStep::Run(2));
        assert_eq!(POLICY.next(&queue(&[0; 9]), 2, unknown), BatchStep::Run(8));
        assert_eq!(
            POLICY.next(&queue(&[99; 9]), 4, unknown),
            BatchStep::Idle,
            "one batch ahead of each session"
        );
    }

    #[test]
    fn a_batch_is_no_larger_than_its_deadlines_allow() {
        // 10 ms an image.
        let cost = |n: usize| Some(ms(10 * n as u64));
        let images = |left: &[u64]| -> Vec<Waiting> {
            left.iter().map(|left| Waiting { waited: ms(0), left: ms(*left), only: false }).collect()
        };
        let single = BatchPolicy { sessions: 1, ..POLICY };
        assert_eq!(single.next(&images(&[500, 500, 500]), 0, cost), BatchStep::Run(3));
        assert_eq!(single.next(&images(&[25, 500, 500]), 0, cost), BatchStep::Run(2));
        assert_eq!(single.next(&images(&[500, 500, 15]), 0, cost), BatchStep::Run(2), "the third is tight");
        assert_eq!(
            single.next(&images(&[4, 500, 500]), 0, cost),
            BatchStep::Run(3),
            "the first is lost anyway"
        );
        assert_eq!(single.next(&images(&[4]), 0, cost), BatchStep::Run(1));
    }

    /// In any order of events, every image is sent once, in order and within bounds, and nothing stalls.
    #[test]
    fn every_image_runs_and_nothing_stalls() {
        let mut random = 7u64;
        let mut draw = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % n
        };
        for (sessions, has_single_image_session) in [(1, false), (2, true), (3, false), (3, true)] {
            let (max_batch, max_delay) = (1 + draw(16) as usize, ms(draw(20)));
            let policy = BatchPolicy { max_batch, max_delay, sessions, has_single_image_session };
            let (mut now, mut arrived, mut done) = (0u64, 0u64, 0u64);
            let (mut waiting, mut running) = (Vec::<u64>::new(), Vec::<(u64, usize)>::new());
            while done < 2000 {
                if arrived < 2000 && draw(3) == 0 {
                    for _ in 0..=draw(5) {
                        waiting.push(now);
                        arrived += 1;
                    }
                }
                running.retain(|(end, n)| {
                    let ended = *end <= now;
                    done += if ended { *n as u64 } else { 0 };
                    !ended
                });
                loop {
                    let view: Vec<_> = waiting
                        .iter()
                        .map(|at| Waiting { waited: ms(now - at), left: ms(1000), only: at % 3 == 0 })
                        .collect();
                    let n = match policy.next(&view, running.len(), unknown) {
                        BatchStep::Run(n) => n,
                        BatchStep::RunSingle => 1,
                        BatchStep::Wait(_) | BatchStep::Idle => break,
                    };
                    assert!(n >= 1 && n <= policy.max_batch && n <= waiting.len());
                    waiting.drain(..n);
                    running.push((now + 1 + draw(30), n));
                    assert!(running.len() <= 2 * sessions);
                }
                assert!(
                    waiting.is_empty() || running.len() >= sessions,
                    "an image waits beside an idle session"
                );
                now += 1;
                assert!(now < 1_000_000, "stalled");
            }
        }
    }
}
