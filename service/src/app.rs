//! Builds every part of the service from the configuration, connects them and runs the server.

use crate::audit::AuditLog;
use crate::audit::anchor::Anchor;
use crate::audit::erasures::Erasures;
use crate::audit::idempotency::IdempotencyKeys;
use crate::audit::sequencer::{Pace, Sequencer};
use crate::audit::signing::LogKey;
use crate::auth::Verifier;
use crate::config::Config;
use crate::config::http::HttpConfig;
use crate::config::model::{ModelConfig, ShadowConfig};
use crate::hangup::Hangup;
use crate::http::{self, Api, Deadlines, LogThrottles, MetricsPages, REFUSAL_CODES, ResponseDelays};
use crate::memory::ImageMemory;
use crate::monitor::{self, Monitor};
use crate::net::{self, ListenerRole};
use crate::pipeline::{ImageSlots, Pipeline};
use crate::quota::{ClientLimits, Quotas};
use crate::readiness::Readiness;
use crate::record::hmac::{SiteKey, leaf_key};
use crate::results::Results;
use crate::serving::{CurrentModel, ModelSwitch, Reloader, Serving, watch};
use crate::shadow::Shadow;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Collector, Exporter};
use crate::threads;
use crate::worker_pool::WorkerPool;
use anyhow::Context;
use cxr::Workspace;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The listening sockets.
pub struct Listeners {
    /// `service.http.bind`
    pub clients: TcpListener,
    /// `service.http.operations_bind`
    pub operators: Option<TcpListener>,
}

/// The service, ready to run.
pub struct App {
    service: net::Service,
    http: HttpConfig,
    slots: Arc<ImageSlots>,
    readiness: Arc<Readiness>,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    exporter: Option<Exporter>,
}

impl App {
    /// Builds the service, and verifies and tests the model. The database may be unreachable. Call inside a
    /// Tokio runtime.
    pub fn build(config: Config) -> anyhow::Result<Self> {
        // First, because SIGHUP ends a process that does not handle it.
        let hangup = Hangup::listen();
        let metrics = Arc::new(Metrics::new(REFUSAL_CODES));
        let exporter = exporter(&config, &metrics)?;
        let verifier = Arc::new(Verifier::new(&config.auth)?);
        verifier.keep_fresh();
        let store = Arc::new(Store::new(&config.database)?);
        let serving = Serving::load(&config.model, threads::COMPUTING, Some(&metrics))
            .with_context(|| format!("the model bundle {}", config.model.bundle.display()))?;
        let patients = config.patients.stated();
        if patients.refers_all(&serving.model.manifest().intended_use) {
            tracing::warn!(
                "service.patients is outside the bundle's intended use: every image that does not state its age, \
                 view and modality is referred"
            );
        }
        let current_model = Arc::new(CurrentModel::new(serving, Arc::clone(&metrics)));
        let candidate = candidate(&config.model)?;
        // After the models are loaded, so that their memory is not counted as free.
        let memory = ImageMemory::new(&config.limits)?;
        let decoders = (0..config.limits.decode_threads.get()).map(|_| Workspace::default()).collect();
        let decoders = Arc::new(WorkerPool::start("decode", threads::COMPUTING, decoders, memory.decoding)?);
        let shadow = candidate.map(|(shadow, candidate)| {
            let (decoders, store, metrics) =
                (Arc::clone(&decoders), Arc::clone(&store), Arc::clone(&metrics));
            Shadow::start(shadow, candidate, decoders, config.limits.decode(), store, metrics)
        });
        let (current, told) = (Arc::clone(&current_model), Arc::clone(&metrics));
        let reloader = Arc::new(Reloader::new(config.model.clone(), current, told));
        tokio::spawn(Arc::clone(&reloader).at_hangup(hangup));
        let readiness = Arc::new(Readiness::new(
            Arc::clone(&current_model),
            Arc::clone(&store),
            Arc::clone(&verifier),
            Arc::clone(&metrics),
            config.database.refuse_owner,
        ));
        let slots = Arc::new(ImageSlots::new(config.limits.max_in_flight.get(), Arc::clone(&metrics)));
        if let Some(every) = config.model.watch_interval_ms {
            let (current, reloader) = (Arc::clone(&current_model), Arc::clone(&reloader));
            tokio::spawn(watch(config.model.bundle.clone(), every.duration(), current, reloader));
        }
        let key = Arc::new(LogKey::parse(&config.audit.signing_key).context("service.audit.signing_key")?);
        let site_key = SiteKey::new(&config.audit.input_key);
        start_sequencer(&config, &site_key, &key, &store, &metrics);
        if config.monitoring.enabled {
            start_monitor(&config, &site_key, &store, &metrics)?;
        }
        watch_resources(&metrics, Arc::clone(&store), Arc::clone(&verifier));
        let results = Arc::new(Results::new(Arc::clone(&store)));
        results.export(&metrics);
        tokio::spawn(Arc::clone(&results).follow());
        let (stored, told) = (Arc::clone(&store), Arc::clone(&metrics));
        let switch = Arc::new(ModelSwitch::new(config.model.state, stored, told));
        tokio::spawn(Arc::clone(&switch).follow());
        let quotas = Arc::new(Quotas::new(ClientLimits::new(&config.limits)));
        tokio::spawn(Arc::clone(&quotas).remove_idle());
        let pipeline = Pipeline {
            current_model,
            switch,
            shadow,
            decoders,
            limits: config.limits.decode(),
            audit: AuditLog::new(&config.audit, &site_key, key, Arc::clone(&store), Arc::clone(&metrics)),
            idempotency_keys: IdempotencyKeys::new(&site_key),
            site_key,
            site: config.audit.site.to_string(),
            patients,
            metrics: Arc::clone(&metrics),
        };
        let api = Api {
            pipeline: Arc::new(pipeline),
            store: Arc::clone(&store),
            quotas,
            uploads: memory.uploads,
            slots: Arc::clone(&slots),
            verifier,
            readiness: Arc::clone(&readiness),
            reloader,
            results,
            deadlines: Deadlines {
                default: config.limits.deadline_ms.duration(),
                max: config.limits.max_deadline_ms.duration(),
            },
            metrics: Arc::clone(&metrics),
            log_throttles: LogThrottles::default(),
            exporter: exporter.clone(),
            cors: config.http.cors.clone(),
            delays: ResponseDelays::new(&config.http),
            metrics_pages: MetricsPages::default(),
            body_timeout: config.http.body_timeout_ms.duration(),
        };
        Ok(Self {
            service: http::service(Arc::new(api))?,
            http: config.http,
            slots,
            readiness,
            store,
            metrics,
            exporter,
        })
    }

    /// Serves until `shutdown` completes, then drains; returns whether every request in flight finished in
    /// time.
    pub async fn run(self, listeners: Listeners, shutdown: impl Future<Output = ()>) -> anyhow::Result<bool> {
        let readiness = self.readiness;
        let stopping = CancellationToken::new();
        let stop = async {
            shutdown.await;
            readiness.shut_down();
            stopping.cancel();
        };
        let role = if listeners.operators.is_some() { ListenerRole::Clients } else { ListenerRole::Both };
        let (service, metrics) = (self.service.clone(), Arc::clone(&self.metrics));
        let clients = net::accept_loop(listeners.clients, service, &self.http, role, metrics, stop);
        let operators = async {
            let Some(listener) = listeners.operators else { return Ok(None) };
            let (role, shutdown) = (ListenerRole::Operators, stopping.cancelled());
            let served = net::accept_loop(listener, self.service, &self.http, role, self.metrics, shutdown);
            served.await.map(Some)
        };
        let (client_connections, operator_connections) = tokio::try_join!(clients, operators)?;
        let in_flight = async {
            client_connections.drain().await;
            if let Some(connections) = operator_connections {
                connections.drain().await;
            }
            // The work of a client that disconnected has no connection.
            self.slots.drained().await;
        };
        let grace = self.http.shutdown_grace_ms.duration();
        // The last quarter is for rows and answers: images that are still being decoded then expire.
        let stop_decoding = async {
            tokio::time::sleep(grace * 3 / 4).await;
            self.slots.stop_decoding();
            std::future::pending::<()>().await;
        };
        let drained = tokio::select! {
            drained = tokio::time::timeout(grace, in_flight) => drained.is_ok(),
            () = stop_decoding => false,
        };
        let last_spans = async {
            if let Some(exporter) = &self.exporter {
                exporter.close().await;
            }
        };
        tokio::join!(self.store.close(), last_spans);
        Ok(drained)
    }
}

/// Sends spans, if a collector is configured.
fn exporter(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Option<Exporter>> {
    let otlp = &config.telemetry.otlp;
    let Some(endpoint) = &otlp.endpoint else { return Ok(None) };
    let collector = Collector {
        endpoint: endpoint.to_string(),
        sample_ratio: *otlp.sample_ratio,
        timeout: otlp.timeout_ms.duration(),
        interval: otlp.interval_ms.duration(),
        max_queued_spans: otlp.max_queued_spans.get(),
        site: config.audit.site.to_string(),
    };
    let exporter = Exporter::start(&collector, Arc::clone(metrics));
    exporter.map(Some).context("service.telemetry.otlp: cannot make the client")
}

fn start_sequencer(
    config: &Config,
    site_key: &SiteKey,
    key: &Arc<LogKey>,
    store: &Arc<Store>,
    metrics: &Arc<Metrics>,
) {
    let sequencer = Sequencer {
        store: Arc::clone(store),
        key: Arc::clone(key),
        leaf_key: leaf_key(site_key),
        anchor: config.audit.anchor.directory.clone().map(Anchor::at),
        pace: Pace::new(&config.audit),
        answers_kept: config.audit.idempotency_kept_ms.duration(),
        erasures: config.audit.erasures_file().map(Path::to_owned).map(Erasures::at),
        metrics: Arc::clone(metrics),
    };
    tokio::spawn(sequencer.run());
}

fn start_monitor(
    config: &Config,
    site_key: &SiteKey,
    store: &Arc<Store>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<()> {
    let monitor = Monitor {
        store: Arc::clone(store),
        config: config.monitoring.clone(),
        sample_key: monitor::sample_key(site_key),
        metrics: Arc::clone(metrics),
    };
    monitor.start().context("the thread of monitoring cannot be started")
}

/// Samples the database pools and the key sets for each exposition of the metrics.
fn watch_resources(metrics: &Metrics, store: Arc<Store>, verifier: Arc<Verifier>) {
    metrics.watch(move |metrics| {
        for (pool, state) in store.pools() {
            metrics.pool(pool, state.n_open, state.n_idle, state.n_waiting);
        }
        for set in verifier.published() {
            metrics.key_set(set.position, set.fetched_at, set.n_failures);
        }
    });
}

/// Loads the candidate, if one is configured. If that fails, the service does not start: a candidate that
/// scores nothing would go unnoticed.
fn candidate(config: &ModelConfig) -> anyhow::Result<Option<(&ShadowConfig, Serving)>> {
    let Some(shadow) = config.for_shadow() else { return Ok(None) };
    let candidate = Serving::load(&shadow, threads::IN_THE_BACKGROUND, None)
        .with_context(|| format!("service.model.shadow: the model bundle {}", shadow.bundle.display()))?;
    if let Err(cause) = &candidate.engine {
        anyhow::bail!("service.model.shadow: the device does not execute the candidate: {cause}");
    }
    Ok(Some((&config.shadow, candidate)))
}
