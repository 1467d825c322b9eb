//! Limits log lines of one kind: a client with a thousand refusals a second must not fill the disk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Further lines of the same second are only counted.
const LINES_PER_SECOND: u32 = 20;

/// The limit for one kind of line.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    second: Option<Instant>,
    written: u32,
    left_out: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Written {
        /// Lines left out since the last one.
        left_out: u64,
    },
    LeftOut,
}

impl Throttle {
    pub fn line(&self) -> Line {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> Line {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = state.second.is_some_and(|second| now.duration_since(second) < Duration::from_secs(1));
        if !same {
            (state.second, state.written) = (Some(now), 0);
        }
        if state.written >= LINES_PER_SECOND {
            state.left_out += 1;
            return Line::LeftOut;
        }
        state.written += 1;
        Line::Written { left_out: std::mem::take(&mut state.left_out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_a_bounded_number_of_lines_and_is_counted() {
        let throttle = Throttle::default();
        let begun = Instant::now();
        let written = (0..1000).filter(|_| throttle.at(begun) != Line::LeftOut).count();
        assert_eq!(written, LINES_PER_SECOND as usize);
        let later = begun + Duration::from_secs(1);
        assert_eq!(throttle.at(later), Line::Written { left_out: 980 });
        assert_eq!(throttle.at(later), Line::Written { left_out: 0 });
    }
}
