//! A closed loop over HTTP: each client sends its next radiograph when it has the last answer.

use super::server::Server;
use crate::generator::{self, Cpu, Measurement, Target, Traffic, Window, forms};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

const N_IMAGES: usize = 64;
const WARM_UP_S: f64 = 0.5;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    pub clients: usize,
    pub answers: usize,
    pub requests_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

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
pub(super) fn closed_loop(
    server: &Server,
    clients: &[usize],
    seconds: f64,
    files: &[PathBuf],
    limit: Duration,
) -> Result<Loads> {
    let read =
        |file: &PathBuf| std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()));
    let images = files.iter().take(N_IMAGES).map(|file| read(file).map(Bytes::from));
    let images = images.collect::<Result<Vec<Bytes>>>()?;
    let target = Rc::new(Target::new(server.address, "/v1/predictions", &server.token, forms(&images))?);
    let seconds = seconds.min(limit.as_secs_f64() / clients.len().max(1) as f64);
    let window = Window { warm_s: WARM_UP_S, seconds };
    let one = |n: &usize| {
        let nothing = || Ok(Cpu::default());
        let traffic = Traffic::Closed { clients: *n };
        let run = generator::run(Rc::clone(&target), traffic, window, nothing, nothing);
        load(*n, &server.runtime.block_on(run)?)
    };
    clients.iter().map(one).collect::<Result<_>>().map(Loads)
}

fn load(clients: usize, found: &Measurement) -> Result<Load> {
    let answers = found.latencies_us.len();
    let (refused, failed) = (found.refused, found.failed);
    ensure!(
        refused == 0 && failed == 0,
        "{clients} clients got {answers} predictions, {refused} refusals (429, 503) and {failed} other answers or none"
    );
    ensure!(answers > 0, "{clients} clients got no answer");
    Ok(Load {
        clients,
        answers,
        requests_per_second: found.rps(),
        p50_ms: found.percentile_ms(50.0),
        p99_ms: found.percentile_ms(99.0),
    })
}
