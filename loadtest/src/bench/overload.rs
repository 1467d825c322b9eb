//! Overload without manners: beside the clients that are measured, one more asks again as soon as it is refused, over hundreds of
//! connections and on the same cores (wrk, and oha where it is given). What is left of the good answers, and do they come back at once?

mod rude;

pub(super) use rude::Generators;

use super::images::Images;
use super::interval::Interval;
use super::progress::say;
use super::server::Server;
use super::service::{self, Limits, Setting};
use super::subject::Subject;
use crate::generator::{Measurement, Traffic, Window};
use anyhow::Result;
use rig::Postgres;
use rude::Rude;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// Clients with manners: within the quota that the service gives one client by default.
const CLIENTS: usize = 16;
/// Connections without.
const RUDE_CONNECTIONS: usize = 300;
/// The rude generator is on its way before anything counts.
const SETTLES: Duration = Duration::from_millis(500);

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) rounds: usize,
    pub(super) seconds: f64,
    pub(super) seed: u64,
}

/// What was found with one generator.
#[derive(Debug, Serialize)]
pub(super) struct Overload {
    /// `wrk`, `oha`.
    pub(super) generator: &'static str,
    pub(super) clients: usize,
    pub(super) rude_connections: usize,
    /// Good answers of everybody over those without the generator, round by round.
    pub(super) good_to_unloaded: Option<Interval>,
    /// The same when it has ended.
    pub(super) afterwards_to_unloaded: Option<Interval>,
    /// Requests of the clients with manners that were refused or failed beside it.
    pub(super) clients_unanswered: u64,
    pub(super) rounds: Vec<Round>,
}

/// One round, answers a second.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Round {
    /// Without the generator.
    pub(super) unloaded: f64,
    /// Beside it, of the clients with manners.
    pub(super) clients: f64,
    /// Beside it, of the generator itself.
    pub(super) rude: f64,
    /// Refusals of the generator.
    pub(super) refusals: f64,
    /// The clients' 99th percentile beside it.
    pub(super) clients_p99_ms: f64,
    /// The same clients when it has ended.
    pub(super) afterwards: f64,
    /// Requests of the clients that got something else than a good answer, in all.
    pub(super) unanswered: u64,
}

/// Measures the service with its default limits.
pub(super) async fn measure(
    plan: Plan,
    generators: &Generators,
    subject: &Subject,
    settings: &[Setting],
    images: &Images,
    (postgres, logs): (&Postgres, &Path),
) -> Result<Vec<Overload>> {
    let generators = generators.found();
    if plan.rounds == 0 || generators.is_empty() {
        return Ok(Vec::new());
    }
    let (mut server, _) = service::start(subject, settings, Limits::Default, postgres, images, logs)?;
    server.check("the service").await?;
    let settings = service::settings(subject, settings, Limits::Default, &postgres.url("postgres"));
    let token = service::token(&settings, "rude")?;
    let mut found = Vec::new();
    for generator in generators {
        let rude = Rude::prepare(generator, server.target.address(), &token, &images.files[0], logs)?;
        let mut rounds = Vec::new();
        for n in 0..plan.rounds {
            let round = round(&mut server, &rude, plan.seconds).await?;
            say(format_args!("overload by {}, round {}/{}: {round:.1?}", rude.name(), n + 1, plan.rounds));
            rounds.push(round);
        }
        found.push(Overload::of(rude.name(), rounds, plan.seed));
    }
    Ok(found)
}

async fn round(server: &mut Server, rude: &Rude, seconds: f64) -> Result<Round> {
    let window = Window { warm_s: 0.5, seconds };
    let unloaded = clients(server, window).await?;
    let running = rude.start(RUDE_CONNECTIONS, seconds + SETTLES.as_secs_f64() + window.warm_s)?;
    tokio::time::sleep(SETTLES).await;
    let beside = clients(server, window).await?;
    let asked = running.end()?;
    // At once: without a warm-up.
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
            rude_connections: RUDE_CONNECTIONS,
            good_to_unloaded: ratio(|round| round.clients + round.rude),
            afterwards_to_unloaded: ratio(|round| round.afterwards),
            clients_unanswered: rounds.iter().map(|round| round.unanswered).sum(),
            rounds,
        }
    }
}
