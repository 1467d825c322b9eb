//! Overload: measures clients beside a generator (wrk or oha) that retries at once over hundreds of
//! connections, on the same cores, and after it has ended.

mod flood;

pub(super) use flood::Generators;

use super::Args;
use super::interval::Interval;
use super::run::Run;
use super::server::Server;
use super::service::{self, Limits};
use crate::generator::{Measurement, Traffic, Window};
use crate::terminal::progress;
use anyhow::Result;
use flood::Flood;
use serde::Serialize;
use std::time::Duration;

/// Measured clients: within the default rate limit of one client.
const CLIENTS: usize = 16;
const FLOOD_CONNECTIONS: usize = 300;
/// The generator starts this long before the measurement.
const SETTLES: Duration = Duration::from_millis(500);

#[derive(Debug, Serialize)]
pub(super) struct Overload {
    pub(super) generator: &'static str,
    pub(super) clients: usize,
    pub(super) rude_connections: usize,
    /// Good answers to clients and generator, over those without the generator, per round.
    pub(super) good_to_unloaded: Option<Interval>,
    /// Good answers after the generator has ended over those without it, per round.
    pub(super) afterwards_to_unloaded: Option<Interval>,
    pub(super) clients_unanswered: u64,
    pub(super) rounds: Vec<Round>,
}

/// One round, in answers per second.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Round {
    /// Without the generator.
    pub(super) unloaded: f64,
    /// The measured clients, beside the generator.
    pub(super) clients: f64,
    /// The generator.
    pub(super) rude: f64,
    pub(super) refusals: f64,
    /// 99th percentile of the measured clients beside the generator.
    pub(super) clients_p99_ms: f64,
    /// The measured clients, after the generator has ended.
    pub(super) afterwards: f64,
    pub(super) unanswered: u64,
}

pub(super) async fn measure(run: Run<'_>) -> Result<Vec<Overload>> {
    let Args { quick, seed, overload, .. } = run.args;
    let (n_rounds, generators) =
        (if *quick { overload.rounds().min(1) } else { overload.rounds() }, overload.found());
    if n_rounds == 0 || generators.is_empty() {
        return Ok(Vec::new());
    }
    let seconds = if *quick { 1.0 } else { run.args.seconds };
    let (mut server, _) = service::start(run, Limits::Default)?;
    server.check("the service").await?;
    let settings = service::settings(run, Limits::Default, &run.postgres.url("postgres"));
    let token = service::token(&settings, "flood")?;
    let mut found = Vec::new();
    for generator in generators {
        let address = server.target.address();
        let flood = Flood::prepare(generator, address, &token, &run.images.files[0], run.logs)?;
        let mut rounds = Vec::new();
        for n in 0..n_rounds {
            let round = round(&mut server, &flood, seconds).await?;
            progress(format_args!("overload by {}, round {}/{n_rounds}: {round:.1?}", flood.name(), n + 1));
            rounds.push(round);
        }
        found.push(Overload::of(flood.name(), rounds, *seed));
    }
    Ok(found)
}

async fn round(server: &mut Server, flood: &Flood, seconds: f64) -> Result<Round> {
    let window = Window { warm_s: 0.5, seconds };
    let unloaded = clients(server, window).await?;
    let running = flood.start(FLOOD_CONNECTIONS, seconds + SETTLES.as_secs_f64() + window.warm_s)?;
    tokio::time::sleep(SETTLES).await;
    let beside = clients(server, window).await?;
    let asked = running.end()?;
    // Without a warm-up: the throughput must return at once.
    let afterwards = clients(server, Window { warm_s: 0.0, seconds }).await?;
    let unanswered = [&unloaded, &beside, &afterwards].iter().map(|m| m.refused + m.failed).sum();
    Ok(Round {
        unloaded: unloaded.rps(),
        clients: beside.rps(),
        rude: asked.good / asked.seconds,
        refusals: asked.refused / asked.seconds,
        clients_p99_ms: beside.percentile_ms(99.0),
        afterwards: afterwards.rps(),
        unanswered,
    })
}

async fn clients(server: &mut Server, window: Window) -> Result<Measurement> {
    server.measure(Traffic::Closed { clients: CLIENTS }, window).await
}

impl Overload {
    fn of(generator: &'static str, rounds: Vec<Round>, seed: u64) -> Self {
        let ratio = |figure: fn(&Round) -> f64| {
            let ratios: Vec<f64> = rounds.iter().map(|round| figure(round) / round.unloaded).collect();
            Interval::of_median(&ratios, seed)
        };
        Self {
            generator,
            clients: CLIENTS,
            rude_connections: FLOOD_CONNECTIONS,
            good_to_unloaded: ratio(|round| round.clients + round.rude),
            afterwards_to_unloaded: ratio(|round| round.afterwards),
            clients_unanswered: rounds.iter().map(|round| round.unanswered).sum(),
            rounds,
        }
    }
}
