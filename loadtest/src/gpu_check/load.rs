//! A closed loop through HTTP: each client sends its next radiograph when it has the answer to the last.

use super::server::Server;
use anyhow::{Context, Result, ensure};
use cxr::scoring::bootstrap::quantile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Radiographs that are sent in turn.
const N_IMAGES: usize = 64;
/// What the clients do before anything is counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// One number of clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Clients, each with a connection of its own.
    pub clients: usize,
    /// Predictions.
    pub answers: usize,
    /// Predictions a second.
    pub requests_per_second: f64,
    /// Median time of an answer, as the client sees it.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loads(pub Vec<Load>);

impl fmt::Display for Loads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |load: &Load| {
            format!("{} clients {:.1}/s (p99 {:.1} ms)", load.clients, load.requests_per_second, load.p99_ms)
        };
        write!(f, "{}", self.0.iter().map(of).collect::<Vec<_>>().join(", "))
    }
}

/// Loads the service with each number of clients for `seconds`.
///
/// # Errors
/// When an image cannot be read, or an answer is no prediction.
pub(super) fn closed_loop(
    server: &Server,
    clients: &[usize],
    seconds: f64,
    files: &[PathBuf],
    limit: Duration,
) -> Result<Loads> {
    let read =
        |file: &PathBuf| std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()));
    let images: Result<Vec<Vec<u8>>> = files.iter().take(N_IMAGES).map(read).collect();
    let images = Arc::new(images?);
    let each = Duration::from_secs_f64(seconds).min(limit / clients.len().max(1) as u32);
    let mut loads = Vec::new();
    for n in clients {
        server.runtime.block_on(round(server, &images, *n, WARM_UP))?;
        let started = Instant::now();
        let mut times_ms = server.runtime.block_on(round(server, &images, *n, each))?;
        let elapsed = started.elapsed().as_secs_f64();
        times_ms.sort_by(f64::total_cmp);
        loads.push(Load {
            clients: *n,
            answers: times_ms.len(),
            requests_per_second: times_ms.len() as f64 / elapsed,
            p50_ms: quantile(&times_ms, 0.5),
            p99_ms: quantile(&times_ms, 0.99),
        });
    }
    Ok(Loads(loads))
}

/// Milliseconds of every answer of `n` clients within a time.
async fn round(server: &Server, images: &Arc<Vec<Vec<u8>>>, n: usize, time: Duration) -> Result<Vec<f64>> {
    let end = Instant::now() + time;
    let clients: Vec<_> = (0..n)
        .map(|first| {
            let request =
                server.client.post(format!("{}/v1/predictions", server.base)).bearer_auth(&server.token);
            tokio::spawn(client(request, Arc::clone(images), first, end))
        })
        .collect();
    let (mut times_ms, mut others) = (Vec::new(), BTreeMap::<u16, usize>::new());
    for client in clients {
        for (status, milliseconds) in client.await.context("a client")?? {
            if status == 200 {
                times_ms.push(milliseconds);
            } else {
                *others.entry(status).or_default() += 1;
            }
        }
    }
    ensure!(
        others.is_empty(),
        "{n} clients got {} predictions and other answers: {others:?}",
        times_ms.len()
    );
    ensure!(!times_ms.is_empty(), "{n} clients got no answer");
    Ok(times_ms)
}

/// Status and milliseconds of every answer of one client.
async fn client(
    request: reqwest::RequestBuilder,
    images: Arc<Vec<Vec<u8>>>,
    first: usize,
    end: Instant,
) -> Result<Vec<(u16, f64)>> {
    let mut answers = Vec::new();
    for image in images.iter().cycle().skip(first % images.len()) {
        if Instant::now() >= end {
            break;
        }
        let request = request.try_clone().context("a request without a body can be cloned")?;
        let started = Instant::now();
        let response = request.body(image.clone()).send().await.context("POST /v1/predictions")?;
        let status = response.status().as_u16();
        response.bytes().await.context("the answer's body")?;
        answers.push((status, started.elapsed().as_secs_f64() * 1e3));
    }
    Ok(answers)
}
