//! The trace of one request: its ids, and its spans.

use super::context::TraceContext;
use super::export::Exporter;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Flags of a span (OTLP): the sampled flag, whether the next one is known, and whether the parent is remote.
const SAMPLED: u32 = 1;
const KNOWS_PARENT: u32 = 1 << 8;
const PARENT_IS_REMOTE: u32 = 1 << 9;

/// The status of a span whose work failed (`STATUS_CODE_ERROR` in OTLP).
const STATUS_ERROR: i32 = 2;

/// The trace of a request. It is exported only if it is sampled and a collector is configured.
#[derive(Debug)]
pub struct RequestTrace {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    parent: Option<[u8; 8]>,
    state: String,
    sampled: bool,
    started: Instant,
    started_at: SystemTime,
    exporter: Option<Exporter>,
}

/// Names a span of a trace that is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanRef {
    trace_id: [u8; 16],
    span_id: [u8; 8],
}

/// A part of the work on a request.
#[derive(Debug, Clone, Copy)]
pub struct Phase<'a> {
    pub name: &'static str,
    pub began: Instant,
    pub took: Duration,
    /// What failed, as a code.
    pub error: Option<&'static str>,
    /// Images in its batch, and the spans of those that are linked.
    pub batch: Option<(usize, &'a [SpanRef])>,
}

/// Where a phase belongs, and its id if another span names it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Child {
    pub parent: Option<SpanRef>,
    pub span: Option<SpanRef>,
}

impl RequestTrace {
    /// Continues the client's trace, or starts one. `sampled` decides about a trace that starts here.
    pub fn begin(
        client: Option<TraceContext>,
        sampled: bool,
        (started, started_at): (Instant, SystemTime),
        exporter: Option<&Exporter>,
    ) -> Self {
        let parent = client.as_ref().map(|context| context.parent);
        let (trace_id, sampled, state) = if let Some(context) = client {
            (context.trace_id, context.sampled, context.state)
        } else {
            let trace_id = Uuid::new_v4().into_bytes();
            let chosen = sampled && exporter.is_some_and(|exporter| exporter.samples(trace_id));
            (trace_id, chosen, String::new())
        };
        let exporter = exporter.filter(|_| sampled).cloned();
        Self { trace_id, span_id: new_span_id(), parent, state, sampled, started, started_at, exporter }
    }

    /// The header of the answer: this trace, and the span of this request.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.id(), hex::encode(self.span_id), u8::from(self.sampled))
    }

    /// The trace id in hexadecimal.
    pub fn id(&self) -> String {
        hex::encode(self.trace_id)
    }

    /// The trace id for an exemplar, if the trace is sampled.
    pub fn exemplar(&self) -> Option<String> {
        self.sampled.then(|| self.id())
    }

    /// A new id for a span that others name; `None` if the trace is not exported.
    pub fn name_span(&self) -> Option<SpanRef> {
        self.exporter.as_ref()?;
        Some(SpanRef { trace_id: self.trace_id, span_id: new_span_id() })
    }

    /// Exports the span of a phase.
    pub fn phase(&self, phase: Phase<'_>, child: Child) {
        let Some(exporter) = &self.exporter else { return };
        let parent = child.parent.map_or(self.span_id, |parent| parent.span_id);
        let mut span = self.span(phase.name.to_owned(), phase.began, phase.took);
        span.span_id = child.span.map_or_else(new_span_id, |span| span.span_id).to_vec();
        span.parent_span_id = parent.to_vec();
        span.kind = SpanKind::Internal.into();
        span.flags = SAMPLED | KNOWS_PARENT;
        if let Some((n, linked)) = phase.batch {
            span.attributes.push(attribute("cxr.batch.size", Value::IntValue(n as i64)));
            span.links = linked.iter().map(SpanRef::link).collect();
        }
        exporter.export(with_error(span, phase.error));
    }

    /// Exports the span of the request, after the semantic conventions of OpenTelemetry for HTTP servers.
    /// `status` is `None` if no answer was sent.
    pub fn server_span(&self, route: Option<&str>, method: &str, status: Option<u16>, error: Option<&str>) {
        let Some(exporter) = &self.exporter else { return };
        let text = |text: &str| Value::StringValue(text.to_owned());
        let (method, verb) = if method == "other" { ("_OTHER", "HTTP") } else { (method, method) };
        let name = route.map_or_else(|| verb.to_owned(), |route| format!("{verb} {route}"));
        let mut span = self.span(name, self.started, self.started.elapsed());
        span.span_id = self.span_id.to_vec();
        span.parent_span_id = self.parent.map_or_else(Vec::new, |parent| parent.to_vec());
        span.kind = SpanKind::Server.into();
        span.flags = SAMPLED | KNOWS_PARENT | if self.parent.is_some() { PARENT_IS_REMOTE } else { 0 };
        span.attributes.push(attribute("http.request.method", text(method)));
        span.attributes.extend(route.map(|route| attribute("http.route", text(route))));
        let status = status.map(|status| Value::IntValue(status.into()));
        span.attributes.extend(status.map(|status| attribute("http.response.status_code", status)));
        exporter.export(with_error(span, error));
    }

    fn span(&self, name: String, began: Instant, took: Duration) -> Span {
        let start = self.started_at + began.saturating_duration_since(self.started);
        Span {
            trace_id: self.trace_id.to_vec(),
            trace_state: self.state.clone(),
            name,
            start_time_unix_nano: nanoseconds(start),
            end_time_unix_nano: nanoseconds(start + took),
            ..Span::default()
        }
    }
}

impl SpanRef {
    fn link(&self) -> Link {
        let (trace_id, span_id) = (self.trace_id.to_vec(), self.span_id.to_vec());
        Link { trace_id, span_id, flags: SAMPLED, ..Link::default() }
    }
}

fn new_span_id() -> [u8; 8] {
    let mut id = [0; 8];
    // These bytes are random but for two bits that are set, so that the id is never zero.
    id.copy_from_slice(&Uuid::new_v4().as_bytes()[8..]);
    id
}

fn with_error(mut span: Span, error: Option<&str>) -> Span {
    if let Some(error) = error {
        span.attributes.push(attribute("error.type", Value::StringValue(error.to_owned())));
        span.status = Some(Status { code: STATUS_ERROR, ..Status::default() });
    }
    span
}

pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanoseconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
