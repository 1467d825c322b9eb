//! The last insert that failed. A probe that only asks cannot see some causes, such as a full disk.

use super::StoreError;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A failure counts for this long: an unready service gets no rows, and must be tried again.
const COUNTS_FOR: Duration = Duration::from_secs(3);

/// When the last insert failed, and its public text.
#[derive(Debug, Default)]
pub(super) struct LastFailure(Mutex<Option<(Instant, String)>>);

impl LastFailure {
    /// Remembers the outcome of an insert. An error about a row's content says nothing about the next row.
    pub(super) fn note(&self, outcome: &Result<(), StoreError>) {
        let failure = match outcome {
            Ok(()) => None,
            Err(error) if error.blames_a_row() => return,
            Err(error) => Some((Instant::now(), error.public())),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    pub(super) fn recent(&self) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| at.elapsed() < COUNTS_FOR).map(|(_, what)| what.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_until_a_row_is_committed() {
        let last = LastFailure::default();
        assert_eq!(last.recent(), None);
        last.note(&Err(StoreError::Timeout));
        assert_eq!(last.recent(), Some("the database did not answer in time".into()));
        last.note(&Ok(()));
        assert_eq!(last.recent(), None);
    }
}
