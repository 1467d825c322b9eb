//! The operator's switch: whether the model answers, or is out of service.
//!
//! The model is out of service (`advisory`) if the configuration or the newest row of `model_states` says so.
//! Every replica reads that row again and again. While the database is away, the last known state stays.

use crate::config::model::ModelState;
use crate::store::{Operator, Reason, Store, StoreError, StoredState};
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::watch;

const READ_EVERY: Duration = Duration::from_secs(2);

/// How long an image waits for the first read after the start.
const FIRST_READ: Duration = Duration::from_secs(2);

pub struct ModelSwitch {
    configured: ModelState,
    /// `None` before the first read; `Some(None)` if no operator has set a state.
    #[expect(clippy::option_option, reason = "the comment names the two cases")]
    known: watch::Sender<Option<Option<StoredState>>>,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
}

/// The state that holds now, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub state: ModelState,
    pub reason: Option<String>,
    /// When an operator set it.
    pub since: Option<OffsetDateTime>,
}

impl ModelSwitch {
    pub fn new(configured: ModelState, store: Arc<Store>, metrics: Arc<Metrics>) -> Self {
        metrics.model_advisory(configured == ModelState::Advisory);
        Self { configured, known: watch::Sender::new(None), store, metrics }
    }

    /// Follows the newest row for ever.
    pub async fn follow(self: Arc<Self>) {
        let mut last_failure = String::new();
        loop {
            match self.store.annotations.model_state().await {
                Ok(stored) => {
                    last_failure.clear();
                    self.learn(stored);
                }
                Err(error) => {
                    let cause = chain(&error);
                    if cause != last_failure {
                        tracing::warn!(
                            cause,
                            "the model's state could not be read; the last known one holds"
                        );
                    }
                    last_failure = cause;
                }
            }
            tokio::time::sleep(READ_EVERY).await;
        }
    }

    /// Commits a state and takes it over at once; other replicas read it within seconds.
    pub async fn set(
        &self,
        state: ModelState,
        reason: &Reason,
        operator: &Operator,
    ) -> Result<Standing, StoreError> {
        let stored = self.store.annotations.set_model_state(state, reason, operator).await?;
        self.learn(Some(stored));
        Ok(self.standing())
    }

    /// Whether images are referred. Waits for the first read; if that fails, they are.
    pub async fn is_advisory(&self) -> bool {
        if self.known.borrow().is_none() {
            let mut reads = self.known.subscribe();
            // The standing says what a timeout means.
            let _ = tokio::time::timeout(FIRST_READ, reads.wait_for(Option::is_some)).await;
        }
        self.standing().state == ModelState::Advisory
    }

    pub fn standing(&self) -> Standing {
        standing(self.configured, self.known.borrow().as_ref())
    }

    /// A read that began before a newer state was set is dropped.
    fn learn(&self, stored: Option<StoredState>) {
        let before = self.standing();
        self.known.send_if_modified(|known| {
            let at = |stored: &Option<StoredState>| stored.as_ref().map(|stored| stored.at);
            let is_newer = known.as_ref().is_none_or(|known| at(&stored) > at(known));
            if is_newer {
                *known = Some(stored);
            }
            is_newer
        });
        let now = self.standing();
        self.metrics.model_advisory(now.state == ModelState::Advisory);
        if now != before && (now.since.is_some() || before.since.is_some()) {
            // Not the reason: a person wrote it.
            tracing::warn!(state = now.state.name(), "the model's state was set by an operator");
        }
    }
}

fn standing(configured: ModelState, known: Option<&Option<StoredState>>) -> Standing {
    let advisory =
        |reason: &str| Standing { state: ModelState::Advisory, reason: Some(reason.to_owned()), since: None };
    match known {
        _ if configured == ModelState::Advisory => {
            advisory("the configuration of this replica says so (service.model.state)")
        }
        None => advisory("what operators have set is not known yet: the database has not answered"),
        Some(None) => Standing { state: ModelState::Serving, reason: None, since: None },
        Some(Some(stored)) => {
            Standing { state: stored.state, reason: Some(stored.reason.clone()), since: Some(stored.at) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_answers_only_if_the_configuration_and_the_operators_agree() {
        use ModelState::{Advisory, Serving};
        let stored = |state| Some(StoredState { state, reason: "r".into(), at: OffsetDateTime::UNIX_EPOCH });
        for (configured, known, expected) in [
            (Serving, Some(None), Serving),
            (Serving, Some(stored(Serving)), Serving),
            (Serving, Some(stored(Advisory)), Advisory),
            (Advisory, Some(None), Advisory),
            (Advisory, Some(stored(Serving)), Advisory),
            // Not read yet.
            (Serving, None, Advisory),
        ] {
            let found = standing(configured, known.as_ref());
            assert_eq!(found.state, expected, "{configured:?} {known:?}");
            assert_eq!(found.reason.is_some(), found.state == Advisory || found.since.is_some());
        }
    }
}
