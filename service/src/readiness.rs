//! Readiness: the model runs on the configured provider, the database takes rows, its schema and clock match,
//! the token keys are known, and the service is not shutting down.

use crate::auth::Verifier;
use crate::serving::CurrentModel;
use crate::store::{SchemaState, Store};
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Metrics;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Probes are public, so the database is checked at most this often.
const MAX_AGE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCheck {
    /// `model`, `database`, `schema`, `clock`, `keys` or `shutdown`.
    pub check: &'static str,
    /// What is wrong and what to do.
    pub cause: String,
}

pub struct Readiness {
    current_model: Arc<CurrentModel>,
    store: Arc<Store>,
    verifier: Arc<Verifier>,
    metrics: Arc<Metrics>,
    refuse_owner: bool,
    shutting_down: AtomicBool,
    last: Mutex<Option<(Instant, Vec<FailedCheck>)>>,
    /// The last logged cause of a failed database check; empty while the check passes.
    last_logged: std::sync::Mutex<String>,
}

impl Readiness {
    /// `refuse_owner` makes a database user that could change the audit log a failed check.
    pub fn new(
        current_model: Arc<CurrentModel>,
        store: Arc<Store>,
        verifier: Arc<Verifier>,
        metrics: Arc<Metrics>,
        refuse_owner: bool,
    ) -> Self {
        let (shutting_down, last, last_logged) = Default::default();
        Self { current_model, store, verifier, metrics, refuse_owner, shutting_down, last, last_logged }
    }

    /// Fails readiness from now on.
    pub fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::Relaxed);
        self.metrics.ready(false);
    }

    /// The failed checks; empty means ready. Concurrent calls share one run of the checks.
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
        let database = match self.check_database().await {
            None => self.check_clock().await,
            failed => failed,
        };
        let failed: Vec<FailedCheck> =
            [self.check_model().await, database, self.check_keys()].into_iter().flatten().collect();
        self.metrics.ready(failed.is_empty());
        *last = Some((Instant::now(), failed.clone()));
        failed
    }

    async fn check_model(&self) -> Option<FailedCheck> {
        let failed = |cause| Some(FailedCheck { check: "model", cause });
        match &self.current_model.get().engine {
            Err(cause) => failed(cause.clone()),
            Ok(engine) if engine.is_healthy().await => None,
            Ok(_) => failed("the model failed on its last run and on a known input; see the log".into()),
        }
    }

    async fn check_database(&self) -> Option<FailedCheck> {
        let state = self.store.writer.schema_state().await;
        let owner = match &state {
            Ok(SchemaState::Current { .. }) if self.refuse_owner => self.store.writer.owns_the_log().await,
            _ => Ok(false),
        };
        let cause = match state.and_then(|state| Ok((state, owner?))) {
            Ok((SchemaState::Current { .. }, true)) => {
                "the service's database user could change the log: service.database.url needs a user with only \
                 the role cxr_writer"
                    .to_owned()
            }
            Ok((SchemaState::Current { .. }, false)) => {
                self.last_logged.lock().unwrap_or_else(PoisonError::into_inner).clear();
                // The database responds; the last inserts tell whether it takes rows.
                let cause = self.store.writer.recent_failure()?;
                format!("recent rows were not committed: {cause}; see the log for the cause")
            }
            Ok((state, _)) => return Some(FailedCheck { check: "schema", cause: state.to_string() }),
            // Probes are public; the cause names users, databases and hosts, so only the log has it.
            Err(error) => {
                self.log_once(chain(&error));
                format!("{}; see the log for the cause", error.public())
            }
        };
        Some(FailedCheck { check: "database", cause })
    }

    async fn check_clock(&self) -> Option<FailedCheck> {
        let difference = self.store.writer.clock_difference().await.ok()?;
        self.metrics.clock_difference(difference.ahead_s);
        let max = self.store.writer.max_clock_difference();
        let cause = || {
            format!(
                "{difference}, and service.database.max_clock_difference_ms allows {} s: synchronise both clocks \
                 with the same time server",
                max.as_secs_f64()
            )
        };
        difference.exceeds(max).then(|| FailedCheck { check: "clock", cause: cause() })
    }

    fn check_keys(&self) -> Option<FailedCheck> {
        // By position, because probes are public and the URL would name the provider.
        let missing = self.verifier.missing_sets().map(|position| format!("service.auth.keys[{position}]"));
        let missing = missing.collect::<Vec<_>>().join(", ");
        let cause = format!("no token keys are available from {missing}; see the log for the cause");
        (!missing.is_empty()).then_some(FailedCheck { check: "keys", cause })
    }

    fn log_once(&self, cause: String) {
        let mut last_logged = self.last_logged.lock().unwrap_or_else(PoisonError::into_inner);
        if *last_logged != cause {
            tracing::error!(cause, "not ready: database unavailable");
            *last_logged = cause;
        }
    }
}
