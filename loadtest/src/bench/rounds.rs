//! The schedule: every load in every round, with the contestants in changing order.

use super::interval::median;
use super::limit::Limit;
use super::load::Load;
use super::postgres::commit_ms;
use super::server::Server;
use crate::generator::{Measurement, Traffic, Window};
use crate::terminal::progress;
use anyhow::Result;
use rig::Postgres;
use serde::Serialize;
use std::collections::BTreeMap;

/// Answers that a window should contain, so that a slow model is not measured by a few.
const MIN_ANSWERS: f64 = 150.0;
/// Open windows are longer by this factor, because their figure is a high percentile.
const OPEN_FACTOR: f64 = 2.0;
const COMMITS: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Contestant {
    Cxr,
    Peer,
    /// The bare loop.
    Limit,
}

impl Contestant {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cxr => "cxr",
            Self::Peer => "peer",
            Self::Limit => "limit",
        }
    }
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) service: Server,
    pub(super) peer: Option<Server>,
    pub(super) limit: Limit,
}

impl Field {
    pub(super) fn contestants(&self) -> Vec<Contestant> {
        let peer = self.peer.is_some().then_some(Contestant::Peer);
        [Some(Contestant::Cxr), peer, Some(Contestant::Limit)].into_iter().flatten().collect()
    }

    /// Measures one while the others are paused.
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

    /// Pauses the servers; the limit is idle between orders.
    pub(super) fn pause(&self) -> Result<()> {
        self.service.process.pause()?;
        self.peer.as_ref().map_or(Ok(()), |peer| peer.process.pause())
    }
}

#[derive(Debug)]
pub(super) struct Point {
    pub(super) load: Load,
    /// Arrivals per second in the open loop.
    pub(super) offered_rps: Option<f64>,
    pub(super) rounds: Vec<BTreeMap<Contestant, Measurement>>,
}

impl Point {
    pub(super) fn each(&self, who: Contestant, figure: impl Fn(&Measurement) -> f64) -> Vec<f64> {
        self.rounds.iter().filter_map(|round| round.get(&who)).map(figure).collect()
    }

    pub(super) fn median(&self, who: Contestant, figure: impl Fn(&Measurement) -> f64) -> f64 {
        median(&self.each(who, figure))
    }
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) loads: Vec<Load>,
    pub(super) rounds: usize,
    pub(super) seconds: f64,
    pub(super) seed: u64,
    /// Images per second of the limit; window lengths follow from it.
    pub(super) limit_rps: f64,
    /// Requests per second at which the reference (the peer; without one, the limit) is saturated.
    pub(super) reference_rps: f64,
}

impl Plan {
    /// A window that is long enough for slow models, after a warm-up of at least one request per client.
    pub(super) fn window(&self, load: Load) -> Window {
        let (expected_rps, factor, cycle_s) = match load {
            Load::Closed { clients } => {
                let rps = self.limit_rps * if clients == 1 { 0.4 } else { 0.8 };
                (rps, 1.0, 1.5 * clients as f64 / rps)
            }
            Load::Open { share } => (share * self.reference_rps, OPEN_FACTOR, 0.0),
        };
        let quickest_s = if self.rounds > 1 { MIN_ANSWERS / expected_rps } else { 0.0 };
        Window { warm_s: cycle_s.max(0.5), seconds: (self.seconds * factor).max(quickest_s) }
    }

    pub(super) fn total_s(&self, n_contestants: usize) -> f64 {
        let round: f64 = self.loads.iter().map(|load| self.window(*load)).map(|w| w.warm_s + w.seconds).sum();
        round * self.rounds as f64 * n_contestants as f64
    }

    fn traffic(&self, load: Load, round: usize) -> Traffic {
        match load {
            Load::Closed { clients } => Traffic::Closed { clients },
            // All contestants of a round get the same arrivals.
            Load::Open { share } => {
                Traffic::Open { rate: share * self.reference_rps, seed: self.seed + round as u64 }
            }
        }
    }
}

/// Runs all rounds. Also returns the median time of a commit in each round, in milliseconds.
pub(super) async fn run(
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
            progress(format_args!(
                "round {}/{}, {}: {}",
                round + 1,
                plan.rounds,
                point.load.name(),
                line(&found)
            ));
            point.rounds.push(found);
            order.rotate_left(1);
        }
        order.reverse();
    }
    Ok((points, commits_ms))
}

fn line(found: &BTreeMap<Contestant, Measurement>) -> String {
    let one = |(who, m): (&Contestant, &Measurement)| {
        let (p50_ms, p99_ms) = (m.percentile_ms(50.0), m.percentile_ms(99.0));
        let (refused, failed) = (m.refused, m.failed);
        let unanswered = match refused + failed {
            0 => String::new(),
            _ => format!(" ({refused} refused, {failed} failed)"),
        };
        format!("{} {:.1}/s p50 {p50_ms:.1} p99 {p99_ms:.1} ms{unanswered}", who.name(), m.rps())
    };
    found.iter().map(one).collect::<Vec<_>>().join("; ")
}
