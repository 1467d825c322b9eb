//! Traces: W3C Trace Context in and out, and spans for a collector (docs/TRACING.md). A span holds no text of
//! a client: no path, id, actor or file name.

mod context;
mod export;
mod request;

pub use context::TraceContext;
pub use export::{Collector, Exporter};
pub use request::{Child, Phase, RequestTrace, SpanRef};
