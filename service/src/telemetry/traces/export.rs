//! Sends spans to a collector (OTLP over HTTP) from a bounded queue. Spans that find it full, or that the
//! collector does not take, are dropped and counted; no request ever waits.

use super::request::attribute;
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Metrics;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

/// Spans per request to the collector: about 100 KB.
const MAX_BATCH: usize = 512;

/// Where spans go, and how.
#[derive(Debug, Clone)]
pub struct Collector {
    /// Base URL: `/v1/traces` is added.
    pub endpoint: String,
    /// Share of the traces that start here to sample.
    pub sample_ratio: f64,
    /// For one request to the collector, and for the last ones at the end of the process.
    pub timeout: Duration,
    /// How long a span waits for others.
    pub interval: Duration,
    pub max_queued_spans: usize,
    pub site: String,
}

/// The queue of spans.
#[derive(Clone)]
pub struct Exporter(Arc<Shared>);

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

struct Shared {
    /// `None` once it is closed.
    queue: Mutex<Option<mpsc::Sender<Span>>>,
    sender: Mutex<Option<JoinHandle<()>>>,
    sample_ratio: f64,
    timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Exporter {
    /// Starts to send. Call inside a Tokio runtime.
    pub fn start(collector: &Collector, metrics: Arc<Metrics>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(collector.timeout)
            // Spans go to the configured address and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let (queue, spans) = mpsc::channel(collector.max_queued_spans);
        let sending = Sending {
            client,
            url: format!("{}/v1/traces", collector.endpoint.trim_end_matches('/')),
            resource: resource(&collector.site),
            metrics: Arc::clone(&metrics),
        };
        let sender = tokio::spawn(sending.run(spans, collector.interval));
        Ok(Self(Arc::new(Shared {
            queue: Mutex::new(Some(queue)),
            sender: Mutex::new(Some(sender)),
            sample_ratio: collector.sample_ratio,
            timeout: collector.timeout,
            metrics,
        })))
    }

    /// Whether a trace that starts here is sampled: a function of its id, as OpenTelemetry defines it.
    pub(super) fn samples(&self, trace_id: [u8; 16]) -> bool {
        let mut random = [0; 8];
        random[1..].copy_from_slice(&trace_id[9..]);
        (u64::from_be_bytes(random) as f64) < self.0.sample_ratio * 2_f64.powi(56)
    }

    pub(super) fn export(&self, span: Span) {
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queued = queue.as_ref().is_some_and(|queue| queue.try_send(span).is_ok());
        if !queued {
            self.0.metrics.spans_dropped(1);
        }
    }

    /// Sends what is queued, for at most the timeout.
    pub async fn close(&self) {
        drop(self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let sender = self.0.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut sender) = sender
            && tokio::time::timeout(self.0.timeout, &mut sender).await.is_err()
        {
            sender.abort();
        }
    }
}

struct Sending {
    client: reqwest::Client,
    url: String,
    resource: Resource,
    metrics: Arc<Metrics>,
}

impl Sending {
    async fn run(self, spans: mpsc::Receiver<Span>, interval: Duration) {
        let mut batches = pin!(ReceiverStream::new(spans).chunks_timeout(MAX_BATCH, interval));
        let mut failing = false;
        while let Some(batch) = batches.next().await {
            let n = batch.len() as u64;
            match self.send(batch).await {
                Ok(()) => {
                    self.metrics.spans_sent(n);
                    failing = false;
                }
                Err(error) => {
                    self.metrics.spans_dropped(n);
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(
                            cause = chain(&error),
                            "the trace collector takes no spans; dropping them"
                        );
                    }
                }
            }
        }
    }

    async fn send(&self, spans: Vec<Span>) -> Result<(), reqwest::Error> {
        let scope = InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let spans = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
        let spans = ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![spans],
            ..ResourceSpans::default()
        };
        let body = ExportTraceServiceRequest { resource_spans: vec![spans] }.encode_to_vec();
        let request = self.client.post(&self.url).header("content-type", "application/x-protobuf");
        request.body(body).send().await?.error_for_status().map(|_| ())
    }
}

fn resource(site: &str) -> Resource {
    let text = |key: &str, value: &str| attribute(key, Value::StringValue(value.to_owned()));
    let attributes = vec![
        text("service.name", env!("CARGO_PKG_NAME")),
        text("service.version", env!("CARGO_PKG_VERSION")),
        // Tells replicas apart, and is new with each process.
        text("service.instance.id", &Uuid::new_v4().to_string()),
        text("cxr.site", site),
    ];
    Resource { attributes, ..Resource::default() }
}
