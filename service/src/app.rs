//! Wiring: every part is made here, from the configuration, and nowhere else.

use crate::audit::{AuditLog, InputKey};
use crate::auth::Verifier;
use crate::config::Config;
use crate::config::http::HttpConfig;
use crate::config::model::ModelConfig;
use crate::http::{self, Api, REFUSAL_CAUSES, server};
use crate::infer::{Engine, EngineState, Sessions, is_device_failure};
use crate::model::{Golden, ServedModel};
use crate::pipeline::{Gate, Pipeline};
use crate::readiness::Readiness;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use crate::threads::Crew;
use anyhow::Context;
use axum::Router;
use cxr::Workspace;
use std::num::NonZeroUsize;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The service, built and not yet serving.
pub struct App {
    router: Router,
    http: HttpConfig,
    gate: Arc<Gate>,
    readiness: Arc<Readiness>,
    store: Arc<Store>,
}

impl App {
    /// Builds the service; the model is verified and proven here. The database may be away. Call inside a Tokio
    /// runtime.
    ///
    /// # Errors
    /// When what was deployed cannot serve: keys, bundle, library or model are wrong.
    pub fn build(config: Config) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::new(REFUSAL_CAUSES)?);
        let verifier = Verifier::new(&config.auth)?;
        let model = Arc::new(ServedModel::open(&config.model)?);
        let engine = Arc::new(engine(&config.model, &model, &metrics)?);
        let store = Arc::new(Store::new(&config.database)?);
        let readiness =
            Arc::new(Readiness::new(Arc::clone(&engine), Arc::clone(&store), Arc::clone(&metrics)));
        let gate = Arc::new(Gate::new(config.limits.max_in_flight.get(), Arc::clone(&metrics)));
        let pipeline = Pipeline {
            model,
            engine,
            decoders: Crew::start("decode", workspaces(config.limits.decode_threads))?,
            limits: config.limits.decode(),
            audit: AuditLog::new(Arc::clone(&store), Arc::clone(&metrics)),
            input_key: InputKey::new(&config.audit.input_key),
            site: config.audit.site,
            metrics: Arc::clone(&metrics),
        };
        let api = Api {
            pipeline: Arc::new(pipeline),
            gate: Arc::clone(&gate),
            verifier,
            readiness: Arc::clone(&readiness),
            metrics,
            body_timeout: config.http.body_timeout_ms.duration(),
        };
        Ok(Self { router: http::router(Arc::new(api))?, http: config.http, gate, readiness, store })
    }

    /// Serves until `shutdown` completes, then lets what is in flight end. Whether all of it ended in time.
    pub async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> bool {
        let readiness = self.readiness;
        let turn_unready = async {
            shutdown.await;
            readiness.shut_down();
        };
        let connections = server::serve(listener, self.router, &self.http, turn_unready).await;
        let in_flight = async {
            connections.shutdown().await;
            // A client that hung up leaves work behind that has no connection any more.
            self.gate.emptied().await;
        };
        let drained = tokio::time::timeout(self.http.shutdown_grace_ms.duration(), in_flight).await.is_ok();
        self.store.close().await;
        drained
    }
}

/// One for each decoding thread.
fn workspaces(n_threads: NonZeroUsize) -> Vec<Workspace> {
    (0..n_threads.get()).map(|_| Workspace::default()).collect()
}

/// Sessions that passed the golden inputs; or, when the device does not execute the model, the cause, with which the
/// service starts and stays unready.
fn engine(config: &ModelConfig, model: &ServedModel, metrics: &Metrics) -> anyhow::Result<EngineState> {
    let manifest = model.manifest();
    metrics.serving(&manifest.name, &manifest.version, model.bundle().digest(), model.variant_name());
    let golden = Golden::of(model)?;
    let mut sessions = match Sessions::open(config, model) {
        Ok(sessions) => sessions,
        Err(error) if is_device_failure(&error) => {
            let cause = format!("{:#}", anyhow::Error::from(error));
            tracing::error!(cause, "the model does not execute on the configured provider");
            return Ok(Err(cause));
        }
        Err(error) => return Err(error).context("service.model"),
    };
    for backend in &mut sessions.backends {
        for known in &golden {
            known
                .prove(backend, model)
                .with_context(|| format!("the model bundle {}", config.bundle.display()))?;
        }
    }
    for (provider, nodes) in &sessions.proof.assigned_nodes {
        metrics.executing(provider, *nodes);
    }
    let probe = golden.first().context("the bundle has no golden input")?;
    tracing::info!(
        name = manifest.name,
        version = manifest.version,
        digest = model.bundle().digest(),
        variant = model.variant_name(),
        provider = sessions.proof.provider,
        "model proven"
    );
    Ok(Ok(Engine::start(sessions.backends, probe.pixels().to_vec(), sessions.proof, sessions.execution)?))
}
