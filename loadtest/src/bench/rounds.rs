//! The schedule: every load point in every round, the contestants by turns and in another order each round.

use super::interval::median;
use super::limit::Limit;
use super::load::Load;
use super::postgres::commit_ms;
use super::progress::say;
use super::server::Server;
use crate::generator::{Measurement, Traffic, Window};
use anyhow::Result;
use rig::Postgres;
use serde::Serialize;
use std::collections::BTreeMap;

/// Answers that a window should see, so that it is not measured by a handful.
const MIN_ANSWERS: f64 = 150.0;
/// Open windows are longer by this: their figure is a high percentile.
const OPEN_FACTOR: f64 = 2.0;
/// Commits timed in each round.
const COMMITS: usize = 60;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Contestant {
    /// Our service.
    Cxr,
    /// The FastAPI peer.
    Peer,
    /// The bare loop.
    Limit,
}

impl Contestant {
    /// As in the tables.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cxr => "cxr",
            Self::Peer => "peer",
            Self::Limit => "limit",
        }
    }
}

/// Everybody, started.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) service: Server,
    pub(super) peer: Option<Server>,
    pub(super) limit: Limit,
}

impl Field {
    /// Who takes part.
    pub(super) fn contestants(&self) -> Vec<Contestant> {
        let peer = self.peer.is_some().then_some(Contestant::Peer);
        [Some(Contestant::Cxr), peer, Some(Contestant::Limit)].into_iter().flatten().collect()
    }

    /// Measures one while the others stand still.
    async fn measure(
        &mut self,
        who: Contestant,
        traffic: Traffic,
        window: Window,
    ) -> Result<Option<Measurement>> {
        let server = match who {
            Contestant::Limit => return self.limit.measure(traffic, window).map(Some),
            Contestant::Cxr => &mut self.service,
            Contestant::Peer => match &mut self.peer {
                Some(peer) => peer,
                None => return Ok(None),
            },
        };
        server.process.resume()?;
        let found = server.measure(traffic, window).await;
        server.process.pause()?;
        found.map(Some)
    }

    /// Lets all stand still.
    pub(super) fn pause(&self) -> Result<()> {
        self.service.process.pause()?;
        self.peer.as_ref().map_or(Ok(()), |peer| peer.process.pause())
    }
}

/// A load point with what every round found.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) load: Load,
    /// Arrivals a second, where they are set.
    pub(super) offered_rps: Option<f64>,
    pub(super) rounds: Vec<BTreeMap<Contestant, Measurement>>,
}

impl Point {
    /// A figure of a contestant in every round.
    pub(super) fn each(&self, who: Contestant, figure: impl Fn(&Measurement) -> f64) -> Vec<f64> {
        self.rounds.iter().filter_map(|round| round.get(&who)).map(figure).collect()
    }
    /// Its median.
    pub(super) fn median(&self, who: Contestant, figure: impl Fn(&Measurement) -> f64) -> f64 {
        median(&self.each(who, figure))
    }
}

/// What is played.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) loads: Vec<Load>,
    pub(super) rounds: usize,
    pub(super) seconds: f64,
    pub(super) seed: u64,
    /// Images a second at the limit, from which the windows' lengths follow.
    pub(super) limit_rps: f64,
    /// Requests a second at which the reference (the peer; without one, the limit) is saturated.
    pub(super) reference_rps: f64,
}

impl Plan {
    /// Windows long enough for slow models, warmed up for at least one turn of all clients.
    pub(super) fn window(&self, load: Load) -> Window {
        let (expected_rps, factor, turn_s) = match load {
            Load::Closed { clients } => {
                let rps = self.limit_rps * if clients == 1 { 0.4 } else { 0.8 };
                (rps, 1.0, 1.5 * clients as f64 / rps)
            }
            Load::Open { share } => (share * self.reference_rps, OPEN_FACTOR, 0.0),
        };
        let quickest_s = if self.rounds > 1 { MIN_ANSWERS / expected_rps } else { 0.0 };
        Window { warm_s: turn_s.max(0.5), seconds: (self.seconds * factor).max(quickest_s) }
    }

    /// Seconds that all rounds take.
    pub(super) fn total_s(&self, n_contestants: usize) -> f64 {
        let round: f64 = self.loads.iter().map(|load| self.window(*load)).map(|w| w.warm_s + w.seconds).sum();
        round * self.rounds as f64 * n_contestants as f64
    }

    fn traffic(&self, load: Load, round: usize) -> Traffic {
        match load {
            Load::Closed { clients } => Traffic::Closed { clients },
            // Contestants of one round meet the same arrivals.
            Load::Open { share } => {
                Traffic::Open { rate: share * self.reference_rps, seed: self.seed + round as u64 }
            }
        }
    }
}

/// Plays all rounds; also returns the time of a commit, in milliseconds, of every round.
pub(super) async fn play(
    field: &mut Field,
    plan: &Plan,
    postgres: &Postgres,
) -> Result<(Vec<Point>, Vec<f64>)> {
    let point = |load: &Load| Point {
        load: *load,
        offered_rps: match load {
            Load::Open { share } => Some(share * plan.reference_rps),
            Load::Closed { .. } => None,
        },
        rounds: Vec::new(),
    };
    let mut points: Vec<Point> = plan.loads.iter().map(point).collect();
    let mut commits_ms = Vec::new();
    let mut order = field.contestants();
    field.pause()?;
    for round in 0..plan.rounds {
        commits_ms.push(median(&commit_ms(postgres, COMMITS)?));
        for point in &mut points {
            let mut found = BTreeMap::new();
            for who in &order {
                let traffic = plan.traffic(point.load, round);
                if let Some(measured) = field.measure(*who, traffic, plan.window(point.load)).await? {
                    found.insert(*who, measured);
                }
            }
            say(format_args!("round {}/{}, {}: {}", round + 1, plan.rounds, point.load.name(), line(&found)));
            point.rounds.push(found);
            order.rotate_left(1);
        }
        order.reverse();
    }
    Ok((points, commits_ms))
}

fn line(found: &BTreeMap<Contestant, Measurement>) -> String {
    let one = |(who, m): (&Contestant, &Measurement)| {
        let not_answered = if m.refused + m.failed > 0 {
            format!(" ({} refused, {} failed)", m.refused, m.failed)
        } else {
            String::new()
        };
        let (p50_ms, p99_ms) = (m.percentile_ms(50.0), m.percentile_ms(99.0));
        format!("{} {:.1}/s p50 {p50_ms:.1} p99 {p99_ms:.1} ms{not_answered}", who.name(), m.rps())
    };
    found.iter().map(one).collect::<Vec<_>>().join("; ")
}
