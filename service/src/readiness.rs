//! Whether requests should be sent here: the model runs where it was asked to, the database can take rows, and
//! nobody has asked the process to end.

use crate::serving::Slot;
use crate::store::{SchemaState, Store};
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Probes are public: however many come, the database is asked this often at most.
const MAX_AGE: Duration = Duration::from_millis(500);

/// One thing that is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCheck {
    /// `model`, `database`, `schema` or `shutdown`.
    pub check: &'static str,
    /// What is wrong and what to do.
    pub cause: String,
}

/// Checks readiness.
pub struct Readiness {
    slot: Arc<Slot>,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    shutting_down: AtomicBool,
    last: Mutex<Option<(Instant, Vec<FailedCheck>)>>,
}

impl Readiness {
    /// Over these parts.
    pub fn new(slot: Arc<Slot>, store: Arc<Store>, metrics: Arc<Metrics>) -> Self {
        Self { slot, store, metrics, shutting_down: AtomicBool::new(false), last: Mutex::new(None) }
    }

    /// From now on nothing more should be sent here.
    pub fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::Relaxed);
        self.metrics.ready(false);
    }

    /// The failed checks; none means ready. Whoever asks while a check runs waits for its result.
    pub async fn failed_checks(&self) -> Vec<FailedCheck> {
        if self.shutting_down.load(Ordering::Relaxed) {
            return vec![FailedCheck { check: "shutdown", cause: "the service is shutting down".into() }];
        }
        let mut last = self.last.lock().await;
        if let Some((at, failed)) = &*last
            && at.elapsed() < MAX_AGE
        {
            return failed.clone();
        }
        let failed: Vec<FailedCheck> =
            [self.check_model().await, self.check_database().await].into_iter().flatten().collect();
        self.metrics.ready(failed.is_empty());
        *last = Some((Instant::now(), failed.clone()));
        failed
    }

    async fn check_model(&self) -> Option<FailedCheck> {
        let failed = |cause| Some(FailedCheck { check: "model", cause });
        match &self.slot.current().engine {
            Err(cause) => failed(cause.clone()),
            Ok(engine) if engine.is_healthy().await => None,
            Ok(_) => failed("the model failed on its last run and on a known input; see the log".into()),
        }
    }

    async fn check_database(&self) -> Option<FailedCheck> {
        match self.store.schema_state().await {
            Ok(SchemaState::Current { .. }) => None,
            Ok(state) => Some(FailedCheck { check: "schema", cause: state.to_string() }),
            Err(error) => Some(FailedCheck { check: "database", cause: error.to_string() }),
        }
    }
}
