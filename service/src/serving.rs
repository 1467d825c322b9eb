//! What serves: a verified bundle with the sessions that passed its golden inputs, and the place where it is swapped.

mod reload;
mod watch;

pub use reload::{ReloadError, Reloaded, Reloader};
pub use watch::watch;

use crate::config::model::ModelConfig;
use crate::infer::{Engine, EngineFacts, EngineState, Sessions, is_device_failure};
use crate::model::{Golden, ModelError, ServedModel, WarmupError};
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Metrics;
use runtime::RuntimeError;
use std::sync::{Arc, PoisonError, RwLock};

/// A bundle and what executes it. Whoever works on an image holds one from beginning to end, so that a swap in between
/// changes nothing for that image; the last holder of an old one ends its sessions.
pub struct Serving {
    /// The verified bundle.
    pub model: ServedModel,
    /// Its sessions, or why the device does not execute them.
    pub engine: EngineState,
}

/// Why a bundle cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bundle or the keys that it is checked with.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A golden input does not give its golden output.
    #[error("the model bundle was rejected")]
    Golden(#[from] WarmupError),
    /// The library or the graph.
    #[error("service.model")]
    Runtime(#[from] RuntimeError),
    /// The system refuses a thread.
    #[error("a model thread cannot be started")]
    Threads(#[from] std::io::Error),
}

impl Serving {
    /// Opens the configured bundle, makes its sessions, warms every batch size up and proves it on the golden inputs. A
    /// device that does not execute it is no error here: see [`EngineState`]. Call inside a Tokio runtime.
    ///
    /// # Errors
    /// When what was deployed is wrong.
    pub fn load(
        config: &ModelConfig,
        niceness: i32,
        metrics: Option<&Arc<Metrics>>,
    ) -> Result<Self, LoadError> {
        let model = ServedModel::open(config)?;
        let golden = Golden::of(&model)?;
        let mut sessions = match Sessions::open(config, &model) {
            Ok(sessions) => sessions,
            Err(error) if is_device_failure(&error) => {
                let cause = chain(&error);
                tracing::error!(cause, "the model cannot run on the configured execution provider");
                return Ok(Self { model, engine: Err(cause) });
            }
            Err(error) => return Err(error.into()),
        };
        if let Err(error) = prove(&golden, &mut sessions, &model) {
            if error.is_device_failure() {
                let cause = chain(&error);
                tracing::error!(cause, "the model cannot run on the configured execution provider");
                return Ok(Self { model, engine: Err(cause) });
            }
            return Err(error.into());
        }
        let facts = EngineFacts {
            probe: golden.probe().to_vec(),
            proof: sessions.proof,
            execution: sessions.execution,
        };
        let engine =
            Engine::start(sessions.backends, sessions.alone, sessions.policy, niceness, facts, metrics)?;
        tracing::info!(
            name = model.manifest().name,
            version = model.manifest().version,
            digest = model.bundle().digest(),
            variant = model.variant_name(),
            provider = engine.proof().provider,
            sessions = sessions.policy.sessions,
            max_batch = sessions.policy.max_batch,
            alone = engine.execution_alone().is_some(),
            "model ready"
        );
        Ok(Self { model, engine: Ok(engine) })
    }

    /// Tells the metrics that this serves.
    fn announce(&self, metrics: &Metrics) {
        let manifest = self.model.manifest();
        metrics.serving(
            &manifest.name,
            &manifest.version,
            self.model.bundle().digest(),
            self.model.variant_name(),
        );
        let nodes = self.engine.as_ref().ok().map(|engine| &engine.proof().assigned_nodes);
        metrics.executing(nodes.into_iter().flatten().map(|(provider, n)| (provider.as_str(), *n)));
    }
}

/// Every session gives the golden outputs. The one for an image that is alone must give the bits that the others give as well,
/// or an answer would depend on who else asked at that moment: where it does not, the service does without it.
fn prove(golden: &Golden, sessions: &mut Sessions, model: &ServedModel) -> Result<(), WarmupError> {
    for backend in sessions.backends.iter_mut().chain(sessions.alone.as_mut().map(|alone| &mut alone.backend))
    {
        golden.prove(backend, model, &sessions.batch_sizes)?;
    }
    if let (Some(alone), Some(other)) = (&mut sessions.alone, sessions.backends.first_mut())
        && !golden.alike(&mut alone.backend, other)?
    {
        tracing::warn!(
            "no extra session for single images (service.model.alone_threads): the model's outputs differ with more threads"
        );
        sessions.alone = None;
    }
    Ok(())
}

/// The place of what serves.
pub struct Slot {
    current: RwLock<Arc<Serving>>,
    metrics: Arc<Metrics>,
}

impl Slot {
    /// With what serves first.
    pub fn new(serving: Serving, metrics: Arc<Metrics>) -> Self {
        serving.announce(&metrics);
        Self { current: RwLock::new(Arc::new(serving)), metrics }
    }

    /// What serves now.
    pub fn current(&self) -> Arc<Serving> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on this serves. The one before goes on for those who hold it.
    fn swap(&self, serving: Serving) {
        serving.announce(&self.metrics);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(serving);
    }
}
