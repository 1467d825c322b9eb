//! The last time that rows were not committed: what a probe that only asks cannot find out, such as a disk that is full.

use super::StoreError;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So long a refusal counts where no row was committed since: then somebody has to try again.
const COUNTS_FOR: Duration = Duration::from_secs(3);

/// When it was, and what may be said of it to anybody.
#[derive(Debug, Default)]
pub(super) struct LastRefusal(Mutex<Option<(Instant, String)>>);

impl LastRefusal {
    /// Remembers how an insert ended. What a row was refused for itself says nothing of the next.
    pub(super) fn note(&self, outcome: &Result<(), StoreError>) {
        let refusal = match outcome {
            Ok(()) => None,
            Err(error) if error.blames_a_row() => return,
            Err(error) => Some((Instant::now(), error.public())),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }

    /// The last one, while it counts.
    pub(super) fn recent(&self) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| at.elapsed() < COUNTS_FOR).map(|(_, what)| what.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_until_a_row_is_committed() {
        let last = LastRefusal::default();
        assert_eq!(last.recent(), None);
        last.note(&Err(StoreError::Timeout));
        assert_eq!(last.recent(), Some("the database did not answer in time".into()));
        last.note(&Ok(()));
        assert_eq!(last.recent(), None);
    }
}
