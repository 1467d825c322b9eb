//! The current model: a verified bundle with sessions that reproduced its golden outputs. A reload swaps it.

mod reload;
mod switch;
mod warmup;
mod watch;

pub use reload::{ReloadError, Reloaded, Reloader};
pub use switch::{ModelSwitch, Standing};
pub use warmup::{Golden, WarmupError};
pub use watch::watch;

use crate::config::model::ModelConfig;
use crate::infer::{Engine, EngineFacts, EngineState, Sessions, is_device_failure};
use crate::model::{ModelError, ServedModel};
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Metrics;
use runtime::RuntimeError;
use std::sync::{Arc, PoisonError, RwLock};

/// A bundle and its sessions. Each image holds one from start to end, so that a reload does not change the
/// model of an image in flight; the last holder of an old one ends its sessions.
pub struct Serving {
    pub model: ServedModel,
    /// Or why the device cannot run the model.
    pub engine: EngineState,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the model bundle was rejected")]
    Golden(#[from] WarmupError),
    #[error("service.model")]
    Runtime(#[from] RuntimeError),
    #[error("a model thread cannot be started")]
    Threads(#[from] std::io::Error),
}

impl LoadError {
    /// The cause if the device failed; the bundle may still be right.
    fn device_failure(&self) -> Option<String> {
        match self {
            Self::Runtime(error) if is_device_failure(error) => Some(chain(error)),
            Self::Golden(error) if error.is_device_failure() => Some(chain(error)),
            _ => None,
        }
    }
}

impl Serving {
    /// Opens the configured bundle, creates its sessions and checks the golden outputs. A device that cannot
    /// run the model is not an error, see [`EngineState`]. Call inside a Tokio runtime.
    pub fn load(
        config: &ModelConfig,
        niceness: i32,
        metrics: Option<&Arc<Metrics>>,
    ) -> Result<Self, LoadError> {
        let model = ServedModel::open(config)?;
        let golden = Golden::of(&model)?;
        let opened = Sessions::open(config, &model).map_err(LoadError::from);
        let proven = opened.and_then(|mut sessions| {
            prove(&golden, &mut sessions, &model)?;
            Ok(sessions)
        });
        let sessions = match proven {
            Ok(sessions) => sessions,
            Err(error) => {
                let cause = error.device_failure().ok_or(error)?;
                tracing::error!(cause, "the model cannot run on the configured execution provider");
                return Ok(Self { model, engine: Err(cause) });
            }
        };
        let facts = EngineFacts {
            probe: golden.probe().to_vec(),
            proof: sessions.proof,
            execution: sessions.execution,
        };
        let engine = Engine::start(
            sessions.backends,
            sessions.single_image,
            sessions.policy,
            niceness,
            facts,
            metrics,
        )?;
        tracing::info!(
            name = model.manifest().name,
            version = model.manifest().version,
            digest = model.bundle().digest(),
            variant = model.variant_name(),
            provider = engine.proof().provider,
            sessions = sessions.policy.sessions,
            max_batch = sessions.policy.max_batch,
            alone = engine.single_image_execution().is_some(),
            "model ready"
        );
        Ok(Self { model, engine: Ok(engine) })
    }

    /// Sets the metrics of the current model.
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

/// Checks the golden outputs of every session. The single-image session must also give the same bits as the
/// others, or an answer would depend on the load; if it does not, the service goes without it.
fn prove(golden: &Golden, sessions: &mut Sessions, model: &ServedModel) -> Result<(), WarmupError> {
    let single_image = sessions.single_image.as_mut().map(|single| &mut single.backend);
    for backend in sessions.backends.iter_mut().chain(single_image) {
        golden.prove(backend, model, &sessions.batch_sizes)?;
    }
    if let (Some(single), Some(other)) = (&mut sessions.single_image, sessions.backends.first_mut())
        && !golden.alike(&mut single.backend, other)?
    {
        tracing::warn!(
            "no single-image session (service.model.alone_threads): the model's outputs \
             differ with more threads"
        );
        sessions.single_image = None;
    }
    Ok(())
}

/// The current model, which a reload replaces.
pub struct CurrentModel {
    current: RwLock<Arc<Serving>>,
    metrics: Arc<Metrics>,
}

impl CurrentModel {
    pub fn new(serving: Serving, metrics: Arc<Metrics>) -> Self {
        serving.announce(&metrics);
        Self { current: RwLock::new(Arc::new(serving)), metrics }
    }

    pub fn get(&self) -> Arc<Serving> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Images in flight keep the old one.
    fn swap(&self, serving: Serving) {
        serving.announce(&self.metrics);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(serving);
    }
}
