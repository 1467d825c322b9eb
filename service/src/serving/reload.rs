//! Taking over another bundle while requests are served: it is opened, verified, warmed up and proven beside the old one,
//! and only then swapped in. Whatever is wrong with it, the old one goes on.

use super::{LoadError, Serving, Slot};
use crate::config::model::ModelConfig;
use crate::hangup::Hangup;
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::{Metrics, ReloadResult};
use crate::threads;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, oneshot};

/// Reloads, one at a time.
pub struct Reloader {
    config: ModelConfig,
    slot: Arc<Slot>,
    metrics: Arc<Metrics>,
    busy: Mutex<()>,
}

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Digest of the bundle that serves now.
    pub digest: String,
    /// Its version.
    pub version: String,
    /// Its variant.
    pub variant: String,
    /// Digest of the one before.
    pub previous_digest: String,
    /// Whether anything changed.
    pub swapped: bool,
    /// How long it took.
    pub took: Duration,
}

/// Why the current model keeps serving.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Another reload is under way.
    #[error("another reload is in progress")]
    Busy,
    /// The candidate was rejected.
    #[error("the candidate was rejected")]
    Refused(#[from] LoadError),
    /// The device cannot run the candidate.
    #[error("the device cannot run the candidate: {0}")]
    Device(String),
    /// The loading thread failed.
    #[error("loading the candidate was interrupted")]
    Lost,
}

impl Reloader {
    /// Over the configured bundle.
    pub fn new(config: ModelConfig, slot: Arc<Slot>, metrics: Arc<Metrics>) -> Self {
        Self { config, slot, metrics, busy: Mutex::new(()) }
    }

    /// Loads the configured directory as it is now and swaps it in. A bundle that serves already, on sessions that
    /// execute, is left as it is.
    ///
    /// # Errors
    /// See [`ReloadError`]; the old model goes on.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let _only = self.busy.try_lock().map_err(|_| ReloadError::Busy)?;
        let started = Instant::now();
        let outcome = self.attempt(started).await;
        match &outcome {
            Ok(reloaded) => {
                let Reloaded { version, digest, swapped, .. } = reloaded;
                let took_ms = reloaded.took.as_millis() as u64;
                tracing::info!(version, digest, swapped, took_ms, "model reloaded");
                self.metrics.reloaded(if *swapped { ReloadResult::Swapped } else { ReloadResult::Unchanged });
            }
            Err(error) => {
                tracing::error!(cause = chain(error), "candidate rejected; keeping the current model");
                self.metrics.reloaded(ReloadResult::Refused);
            }
        }
        outcome
    }

    /// Reloads at every SIGHUP, for as long as the process lives. What became of it is in the log.
    pub(crate) async fn at_hangup(self: Arc<Self>, mut hangup: Hangup) {
        loop {
            hangup.received().await;
            tracing::info!("SIGHUP: reloading model, keys and certificates");
            if let Err(ReloadError::Busy) = self.reload().await {
                tracing::warn!("a reload is already running; send SIGHUP again when it has finished");
            }
        }
    }

    async fn attempt(&self, started: Instant) -> Result<Reloaded, ReloadError> {
        let candidate = self.load().await?;
        if let Err(cause) = &candidate.engine {
            return Err(ReloadError::Device(cause.clone()));
        }
        let old = self.slot.current();
        let identity = |serving: &Serving| {
            (serving.model.bundle().digest().to_owned(), serving.model.variant_name().to_owned())
        };
        let (before, after) = (identity(&old), identity(&candidate));
        let swapped = before != after || old.engine.is_err();
        let version = candidate.model.manifest().version.clone();
        if swapped {
            self.slot.swap(candidate);
        }
        Ok(Reloaded {
            digest: after.0,
            version,
            variant: after.1,
            previous_digest: before.0,
            swapped,
            took: started.elapsed(),
        })
    }

    /// On a thread of its own that gives way to the ones that answer. Threads inside an operator would inherit its
    /// niceness and keep it, so that with them it is only as nice as they are to be.
    async fn load(&self) -> Result<Serving, ReloadError> {
        let (reply, loaded) = oneshot::channel();
        let (config, metrics) = (self.config.clone(), Arc::clone(&self.metrics));
        let runtime = tokio::runtime::Handle::current();
        let inherited = config.intra_threads.is_some_and(|n| n.get() > 1);
        let niceness = if inherited { threads::COMPUTING } else { threads::IN_THE_BACKGROUND };
        let load = move || {
            let _inside = runtime.enter();
            drop(reply.send(Serving::load(&config, threads::COMPUTING, Some(&metrics))));
        };
        threads::spawn("reload".into(), niceness, load).map_err(LoadError::from)?;
        Ok(loaded.await.map_err(|_| ReloadError::Lost)??)
    }
}
