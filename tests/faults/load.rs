//! An open loop of requests at a fixed rate, each with its own idempotency key. Requests without an answer
//! are sent again with the same key.

use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use system_tests::server::Server;
use system_tests::{images, tokens};
use tokio::task::{JoinHandle, JoinSet};

/// Client timeout: a request that takes longer counts as unanswered.
const TIMEOUT: Duration = Duration::from_secs(20);

/// One request and its outcome.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) key: u64,
    pub(crate) begun: Instant,
    pub(crate) took: Duration,
    /// `None` if there was no answer.
    pub(crate) status: Option<u16>,
    pub(crate) body: Value,
}

impl Exchange {
    /// The id of the row.
    pub(crate) fn id(&self) -> Option<&str> {
        self.body["id"].as_str()
    }

    /// The code of the problem document, else empty.
    pub(crate) fn code(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default().trim_start_matches("urn:cxr:problem:")
    }

    pub(crate) fn ended(&self) -> Instant {
        self.begun + self.took
    }

    /// Whether the client must send the request again: it got no answer, or 503.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.status, None | Some(503))
    }
}

/// Where requests go. A service that starts again has another address.
struct Target {
    client: reqwest::Client,
    base: Mutex<String>,
    images: Vec<Vec<u8>>,
    prefix: String,
}

impl Target {
    async fn ask(&self, key: u64) -> Exchange {
        let url = format!("{}/v1/predictions", self.base.lock().unwrap());
        let image = self.images[key as usize % self.images.len()].clone();
        let request = self.client.post(url).bearer_auth(tokens::token("predict")).timeout(TIMEOUT);
        let request = request.header("idempotency-key", format!("{}-{key}", self.prefix)).body(image);
        let begun = Instant::now();
        let (mut status, mut body) = (None, Value::Null);
        if let Ok(response) = request.send().await {
            let found = response.status().as_u16();
            if let Ok(found_body) = response.json().await {
                (status, body) = (Some(found), found_body);
            }
        }
        Exchange { key, begun, took: begun.elapsed(), status, body }
    }
}

/// A running load.
pub(crate) struct Load {
    target: Arc<Target>,
    stop: Arc<AtomicBool>,
    paused: Arc<AtomicBool>,
    next_key: Arc<AtomicU64>,
    so_far: Arc<Mutex<Vec<Exchange>>>,
    sender: JoinHandle<()>,
}

impl Load {
    /// Sends `per_second` requests: four usual images, and one that is rejected.
    pub(crate) fn start(server: &Server, per_second: u32) -> Self {
        let mut images: Vec<Vec<u8>> = (0..4).map(|seed| images::jpeg(seed, seed % 2 == 0)).collect();
        images.push(images::blank());
        Self::of(server, per_second, images)
    }

    /// Sends `per_second` requests with these images.
    pub(crate) fn of(server: &Server, per_second: u32, images: Vec<Vec<u8>>) -> Self {
        let base = Mutex::new(server.base.clone());
        let prefix = server.base.trim_start_matches("http://").replace([':', '.'], "-");
        let target = Arc::new(Target { client: server.client.clone(), base, images, prefix });
        let (stop, paused) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let (next_key, so_far) = <(Arc<AtomicU64>, Arc<Mutex<Vec<_>>>)>::default();
        let sender = tokio::spawn({
            let (target, stop, paused) = (Arc::clone(&target), Arc::clone(&stop), Arc::clone(&paused));
            let (next_key, so_far) = (Arc::clone(&next_key), Arc::clone(&so_far));
            async move {
                let mut requests = JoinSet::new();
                let mut due = tokio::time::interval(Duration::from_secs(1) / per_second);
                while !stop.load(Ordering::Relaxed) {
                    due.tick().await;
                    if paused.load(Ordering::Relaxed) {
                        continue;
                    }
                    let (target, so_far) = (Arc::clone(&target), Arc::clone(&so_far));
                    let key = next_key.fetch_add(1, Ordering::Relaxed);
                    requests.spawn(async move {
                        let exchange = target.ask(key).await;
                        so_far.lock().unwrap().push(exchange);
                    });
                    while requests.try_join_next().is_some() {}
                }
                requests.join_all().await;
            }
        });
        Self { target, stop, paused, next_key, so_far, sender }
    }

    /// From now on requests go to another server.
    pub(crate) fn switch_to(&self, server: &Server) {
        self.target.base.lock().unwrap().clone_from(&server.base);
    }

    /// Stops sending new requests, or resumes.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Sends `n` requests at once, beside the others.
    pub(crate) fn begin_burst(&self, n: u64) -> JoinHandle<()> {
        let (target, so_far) = (Arc::clone(&self.target), Arc::clone(&self.so_far));
        let first = self.next_key.fetch_add(n, Ordering::Relaxed);
        tokio::spawn(async move {
            let requests: JoinSet<Exchange> = (first..first + n)
                .map(|key| {
                    let target = Arc::clone(&target);
                    async move { target.ask(key).await }
                })
                .collect();
            let exchanges = requests.join_all().await;
            so_far.lock().unwrap().extend(exchanges);
        })
    }

    /// The requests that have ended so far.
    pub(crate) fn so_far(&self) -> Vec<Exchange> {
        self.so_far.lock().unwrap().clone()
    }

    /// Stops, waits for the requests in flight, and repeats unanswered ones with their key until they are
    /// answered. Returns the original exchanges, and the answered repetitions.
    pub(crate) async fn settle(self) -> (Vec<Exchange>, Vec<Exchange>) {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.await.unwrap();
        let exchanges = std::mem::take(&mut *self.so_far.lock().unwrap());
        let mut open: Vec<u64> = exchanges.iter().filter(|e| e.is_open()).map(|e| e.key).collect();
        let mut settled = Vec::new();
        let begun = Instant::now();
        while !open.is_empty() {
            assert!(begun.elapsed() < Duration::from_mins(1), "{} keys get no answer", open.len());
            let batch = open.split_off(open.len().saturating_sub(8));
            let requests: JoinSet<Exchange> = batch
                .into_iter()
                .map(|key| {
                    let target = Arc::clone(&self.target);
                    async move { target.ask(key).await }
                })
                .collect();
            for exchange in requests.join_all().await {
                if matches!(exchange.status, Some(200 | 422)) {
                    settled.push(exchange);
                } else {
                    open.push(exchange.key);
                }
            }
        }
        (exchanges, settled)
    }
}
