//! The job of monitoring: reads the log in the order of its leaves, and keeps windows, detectors, alarms and
//! results. Of all replicas, the one with the lease works.
//!
//! It runs on a thread of low priority with a database session of its own, so that neither predictions nor
//! the sequencer wait for it. It uses times of rows and of the database only.

mod cohorts;
mod pace;
mod recent;
mod results;
mod work;

pub use work::{Work, apply};

use crate::config::monitoring::MonitoringConfig;
use crate::record::hmac::SiteKey;
use crate::store::{Lease, LeaseName, Store, StoreError};
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Metrics;
use crate::threads;
use monitoring::DecodeError;
use monitoring::engine::Settings;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the other replicas try to take the lease.
const ACQUIRE_EVERY: Duration = Duration::from_millis(500);
/// Pause after an error.
const RETRY: Duration = Duration::from_secs(1);
/// How often alarms are escalated and old hours deleted.
const CLEAN_UP_EVERY: Duration = Duration::from_mins(1);

#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{what} in the database does not decode; run cxr-service monitor replay")]
    State {
        what: &'static str,
        #[source]
        source: DecodeError,
    },
    #[error("the settings in the database are not ones that this version reads")]
    Settings(#[from] serde_json::Error),
    #[error("another replica moved the cursor")]
    Moved,
}

pub struct Monitor {
    pub store: Arc<Store>,
    pub config: MonitoringConfig,
    /// Key by which the review sample is drawn.
    pub sample_key: [u8; 32],
    pub metrics: Arc<Metrics>,
}

/// The key of the review sample: what it draws cannot be foreseen without the site's key.
pub fn sample_key(site_key: &SiteKey) -> [u8; 32] {
    site_key.digest(b"review sample")
}

/// The part of the configuration that changes what detectors do.
pub fn settings(config: &MonitoringConfig) -> Settings {
    Settings {
        pages_per_year: *config.pages_per_year,
        tickets_per_year: *config.tickets_per_year,
        sensitivity: config.limits.sensitivity.as_deref().copied(),
        specificity: config.limits.specificity.as_deref().copied(),
        sample_rate: *config.review_sample.rate,
        labels_complete: config.labels_complete,
    }
}

impl Monitor {
    /// Starts the job on a thread of its own.
    pub fn start(self) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        threads::spawn("monitor".to_owned(), threads::IN_THE_BACKGROUND, move || {
            runtime.block_on(self.run());
        })
    }

    /// Runs forever: holds the lease, or waits for it.
    async fn run(self) {
        let mut logged = String::new();
        loop {
            let Err(error) = self.try_run(&mut logged).await;
            self.metrics.monitoring_leads(false);
            // Each cause once: a database that is away for an hour is one line.
            let cause = chain(&error);
            if logged != cause {
                tracing::error!(cause, "monitoring stalled");
                logged = cause;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Waits for the lease, then works until something fails.
    async fn try_run(&self, logged: &mut String) -> Result<Infallible, MonitorError> {
        let mut contender = self.store.contender(LeaseName::MONITOR).await?;
        loop {
            match contender.try_acquire().await? {
                Ok(lease) => return self.lead(lease, logged).await,
                Err(other_holds_it) => contender = other_holds_it,
            }
            self.metrics.monitoring_leads(false);
            tokio::time::sleep(ACQUIRE_EVERY).await;
        }
    }

    async fn lead(&self, mut lease: Lease, logged: &mut String) -> Result<Infallible, MonitorError> {
        let mut work = Work::resume(&mut lease, &self.sample_key).await?;
        work.configure(&mut lease, &settings(&self.config)).await?;
        self.metrics.monitoring_leads(true);
        tracing::info!(next_leaf = work.cursor().next_leaf, "monitoring leads");
        let mut pace = pace::Pace::new(&self.config, Arc::clone(&self.metrics));
        let (mut cleaned, mut computed, mut dirty) = (None::<Instant>, None::<Instant>, true);
        let is_due = |last: Option<Instant>, every| last.is_none_or(|last| last.elapsed() >= every);
        loop {
            let begun = Instant::now();
            let step = work.step(&mut lease, pace.limit()).await?;
            let took = begun.elapsed();
            dirty |= step.changed;
            logged.clear();
            if is_due(cleaned, CLEAN_UP_EVERY) {
                self.clean_up(&mut lease).await?;
                cleaned = Some(Instant::now());
            }
            // While it is far behind, figures of the past can wait a little longer.
            let every = self.config.results_interval_ms.duration() * if step.is_behind { 4 } else { 1 };
            if dirty && is_due(computed, every) {
                let snapshot = results::compute(&mut lease, &work, &self.config).await?;
                lease.store_results(&snapshot).await?;
                (computed, dirty) = (Some(Instant::now()), false);
            }
            lease.sleep(pace.pause(took, step.is_behind)).await?;
        }
    }

    async fn clean_up(&self, lease: &mut Lease) -> Result<(), StoreError> {
        let n_escalated = lease.escalate_alarms(self.config.escalate_after_ms.duration()).await?;
        if n_escalated > 0 {
            tracing::warn!(n = n_escalated, "alarms escalated: not acknowledged in time");
        }
        lease.delete_old_hours().await.map(drop)
    }
}
