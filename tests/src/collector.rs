//! A trace collector: takes spans over HTTP (OTLP), or accepts connections and never answers.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The collector. It ends when it is dropped.
pub struct Collector {
    /// Its base URL.
    pub url: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    stalls: bool,
    n_connections: AtomicUsize,
    requests: Mutex<Vec<ExportTraceServiceRequest>>,
}

impl Collector {
    /// Starts one that answers.
    pub async fn start() -> Self {
        Self::with(State::default()).await
    }

    /// Starts one that never answers.
    pub async fn stalled() -> Self {
        Self::with(State { stalls: true, ..State::default() }).await
    }

    async fn with(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket"));
        let state = Arc::new(state);
        let accepted = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                accepted.n_connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(client, Arc::clone(&accepted)));
            }
        });
        Self { url, state, accepting }
    }

    /// Connections so far.
    pub fn n_connections(&self) -> usize {
        self.state.n_connections.load(Ordering::Relaxed)
    }

    /// Every request that was decoded so far.
    pub fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.state.requests.lock().expect("not poisoned").clone()
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// The spans of a trace so far.
    pub fn trace(&self, id: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| hex::encode(&span.trace_id) == id).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves a connection to its end; `None` at the end.
async fn serve(client: TcpStream, state: Arc<State>) -> Option<()> {
    let mut client = BufStream::new(client);
    loop {
        let (mut length, mut line) = (0, String::new());
        client.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
        assert_eq!(line, "POST /v1/traces HTTP/1.1\r\n");
        while line != "\r\n" {
            line.clear();
            client.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
            let (name, value) = line.split_once(':').unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().expect("a number"),
                "content-type" => assert_eq!(value.trim(), "application/x-protobuf"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        client.read_exact(&mut body).await.ok()?;
        if state.stalls {
            std::future::pending::<()>().await;
        }
        let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("OTLP");
        state.requests.lock().expect("not poisoned").push(request);
        client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
        client.flush().await.ok()?;
    }
}

/// The attributes as text, sorted.
pub fn attributes(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let mut texts: Vec<(String, String)> = attributes
        .iter()
        .map(|attribute| {
            let text = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(Value::StringValue(text)) => text.clone(),
                Some(Value::IntValue(number)) => number.to_string(),
                other => panic!("{}: {other:?}", attribute.key),
            };
            (attribute.key.clone(), text)
        })
        .collect();
    texts.sort();
    texts
}
