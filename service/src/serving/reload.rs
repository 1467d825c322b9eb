//! Reloads: the candidate is opened, verified and warmed up beside the current model, and only then swapped
//! in. If that fails, the current model keeps serving.

use super::{CurrentModel, LoadError, Serving};
use crate::config::model::ModelConfig;
use crate::hangup::Hangup;
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::{Metrics, ReloadResult};
use crate::threads;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, oneshot};

/// Runs one reload at a time.
pub struct Reloader {
    config: ModelConfig,
    current_model: Arc<CurrentModel>,
    metrics: Arc<Metrics>,
    busy: Mutex<()>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Of the current bundle, like the version and the variant.
    pub digest: String,
    pub version: String,
    pub variant: String,
    pub previous_digest: String,
    /// False if the current model is the same as before.
    pub swapped: bool,
    pub took: Duration,
}

/// Why the current model keeps serving.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("another reload is in progress")]
    Busy,
    #[error("the candidate was rejected")]
    Rejected(#[from] LoadError),
    #[error("the device cannot run the candidate: {0}")]
    Device(String),
    #[error("loading the candidate was interrupted")]
    Lost,
}

impl Reloader {
    pub fn new(config: ModelConfig, current_model: Arc<CurrentModel>, metrics: Arc<Metrics>) -> Self {
        Self { config, current_model, metrics, busy: Mutex::new(()) }
    }

    /// Loads the configured bundle and makes it the current model, unless it already is and its engine runs.
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

    /// Reloads at every SIGHUP, forever; the log has the result.
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
        let old = self.current_model.get();
        let identity = |serving: &Serving| {
            (serving.model.bundle().digest().to_owned(), serving.model.variant_name().to_owned())
        };
        let (before, after) = (identity(&old), identity(&candidate));
        let swapped = before != after || old.engine.is_err();
        let version = candidate.model.manifest().version.clone();
        if swapped {
            self.current_model.swap(candidate);
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

    /// Loads on a thread of low priority. With `intra_threads`, ONNX Runtime starts threads that inherit its
    /// niceness and keep it; then it gets the niceness of the model's threads.
    async fn load(&self) -> Result<Serving, ReloadError> {
        let (reply, loaded) = oneshot::channel();
        let (config, metrics) = (self.config.clone(), Arc::clone(&self.metrics));
        let runtime = tokio::runtime::Handle::current();
        let inherited = config.intra_threads.is_some_and(|n| n.get() > 1);
        let niceness = if inherited { threads::COMPUTING } else { threads::IN_THE_BACKGROUND };
        let load = move || {
            let _entered = runtime.enter();
            drop(reply.send(Serving::load(&config, threads::COMPUTING, Some(&metrics))));
        };
        threads::spawn("reload".into(), niceness, load).map_err(LoadError::from)?;
        Ok(loaded.await.map_err(|_| ReloadError::Lost)??)
    }
}
