//! What an orchestrator sees meanwhile: both probes, over and over, and the memory of the process.

use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use system_tests::server::Server;
use tokio::task::JoinHandle;

const EVERY: Duration = Duration::from_millis(200);
/// A probe that takes longer has failed; orchestrators are less patient.
const PATIENCE: Duration = Duration::from_secs(10);

/// One look.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) at: Instant,
    /// Until `/livez` had answered 200; none: it did not.
    pub(crate) alive_after: Option<Duration>,
    /// Until `/readyz` had answered; none: it did not.
    pub(crate) told_after: Option<Duration>,
    /// The checks that it says failed; none when ready.
    pub(crate) failed: Vec<Value>,
    pub(crate) memory_bytes: u64,
}

impl Look {
    pub(crate) fn is_ready(&self) -> bool {
        self.told_after.is_some() && self.failed.is_empty()
    }

    pub(crate) fn ended(&self) -> Instant {
        self.at + self.alive_after.unwrap_or_default() + self.told_after.unwrap_or_default()
    }
}

/// Looks that go on until this is dropped.
pub(crate) struct Probes {
    looks: Arc<Mutex<Vec<Look>>>,
    task: JoinHandle<()>,
}

impl Probes {
    pub(crate) fn start(server: Arc<Server>) -> Self {
        let looks: Arc<Mutex<Vec<Look>>> = Arc::default();
        let task = tokio::spawn({
            let looks = Arc::clone(&looks);
            async move {
                loop {
                    let look = look(&server).await;
                    looks.lock().unwrap().push(look);
                    tokio::time::sleep(EVERY).await;
                }
            }
        });
        Self { looks, task }
    }

    pub(crate) fn so_far(&self) -> Vec<Look> {
        self.looks.lock().unwrap().clone()
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(server: &Server) -> Look {
    let at = Instant::now();
    let ask = |path| server.client.get(format!("{}{path}", server.base)).timeout(PATIENCE).send();
    let alive = ask("/livez").await.is_ok_and(|answer| answer.status() == 200);
    let alive_after = alive.then(|| at.elapsed());
    let asked = Instant::now();
    let (mut told_after, mut failed) = (None, Vec::new());
    if let Ok(answer) = ask("/readyz").await {
        told_after = Some(asked.elapsed());
        if answer.status() != 200 {
            let problem: Value = answer.json().await.unwrap_or_default();
            failed = problem["checks"].as_array().cloned().unwrap_or_else(|| vec![problem]);
        }
    }
    Look { at, alive_after, told_after, failed, memory_bytes: server.memory_bytes() }
}
