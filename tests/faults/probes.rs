//! Samples both probes and the memory of the process during a fault.

use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use system_tests::server::Server;
use tokio::task::JoinHandle;

const INTERVAL: Duration = Duration::from_millis(200);
/// A probe that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One sample.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    /// Time until `/livez` answered 200, if it did.
    pub(crate) livez_after: Option<Duration>,
    /// Time until `/readyz` answered, if it did.
    pub(crate) readyz_after: Option<Duration>,
    /// The failed checks in its answer; empty when ready.
    pub(crate) failed: Vec<Value>,
    pub(crate) memory_bytes: u64,
}

impl Sample {
    pub(crate) fn is_ready(&self) -> bool {
        self.readyz_after.is_some() && self.failed.is_empty()
    }

    pub(crate) fn ended(&self) -> Instant {
        self.at + self.livez_after.unwrap_or_default() + self.readyz_after.unwrap_or_default()
    }
}

/// Samples until this is dropped.
pub(crate) struct Probes {
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

impl Probes {
    pub(crate) fn start(server: Arc<Server>) -> Self {
        let samples: Arc<Mutex<Vec<Sample>>> = Arc::default();
        let task = tokio::spawn({
            let samples = Arc::clone(&samples);
            async move {
                loop {
                    let sample = sample(&server).await;
                    samples.lock().unwrap().push(sample);
                    tokio::time::sleep(INTERVAL).await;
                }
            }
        });
        Self { samples, task }
    }

    pub(crate) fn so_far(&self) -> Vec<Sample> {
        self.samples.lock().unwrap().clone()
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn sample(server: &Server) -> Sample {
    let at = Instant::now();
    let ask = |path| server.client.get(format!("{}{path}", server.base)).timeout(TIMEOUT).send();
    let alive = ask("/livez").await.is_ok_and(|answer| answer.status() == 200);
    let livez_after = alive.then(|| at.elapsed());
    let sent = Instant::now();
    let (mut readyz_after, mut failed) = (None, Vec::new());
    if let Ok(answer) = ask("/readyz").await {
        readyz_after = Some(sent.elapsed());
        if answer.status() != 200 {
            let problem: Value = answer.json().await.unwrap_or_default();
            failed = problem["checks"].as_array().cloned().unwrap_or_else(|| vec![problem]);
        }
    }
    Sample { at, livez_after, readyz_after, failed, memory_bytes: server.memory_bytes() }
}
