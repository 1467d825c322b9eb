//! The figures: one record per contestant and load, and the main figures of a model.

use super::interval::{Interval, median};
use super::load::Load;
use super::model::Model;
use super::rounds::{Contestant, Point};
use crate::generator::Measurement;
use serde::{Deserialize, Serialize};

/// Processor time per answer in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CpuPerRequest {
    pub generator: f64,
    pub postgres: f64,
    /// The contestant with its child processes.
    pub contestant: f64,
}

/// One contestant at one load: medians over the rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub contestant: String,
    pub model: String,
    /// Precision of this contestant; the peer always runs `fp32`.
    pub precision: String,
    /// Precision of the service in the same rounds.
    pub against_precision: String,
    /// `closed-16`: 16 clients; `open-60%`: 60 % of the peer's saturation rate.
    pub load: String,
    pub offered_rps: Option<f64>,
    pub rps: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    /// The compared figure: `rps` in the closed loop (higher is better), `p99_ms` in the open loop (lower).
    pub ratio_of: String,
    /// Ratio to the peer in the same round; absent without a peer.
    pub ratio_to_peer: Option<Interval>,
    pub ratio_to_limit: Option<Interval>,
    pub answers: u64,
    /// Answers 429 and 503.
    pub refused: u64,
    /// Other answers, broken connections, missing answers.
    pub failed: u64,
    pub cpu_ms_per_request: CpuPerRequest,
    /// Share of the cores (0 to 1) used elsewhere or stolen; beyond a few per cent, figures are unreliable.
    pub host_share_elsewhere: f64,
    /// Maximum resident memory at the end of any round.
    pub resident_mb: f64,
    pub rounds: usize,
}

pub(super) fn records(model: &Model, points: &[Point], seed: u64) -> Vec<Record> {
    let mut records = Vec::new();
    for point in points {
        let present = point.rounds.first().into_iter().flat_map(|round| round.keys());
        records.extend(present.map(|who| record(model, point, *who, seed)));
    }
    records
}

fn record(model: &Model, point: &Point, who: Contestant, seed: u64) -> Record {
    let (ratio_of, figure): (&str, fn(&Measurement) -> f64) = match point.load {
        Load::Closed { .. } => ("rps", Measurement::rps),
        Load::Open { .. } => ("p99_ms", |m| m.percentile_ms(99.0)),
    };
    let ratio = |other| ratio(&point.each(who, figure), &point.each(other, figure), seed);
    let total = |count: fn(&Measurement) -> u64| {
        point.rounds.iter().filter_map(|r| r.get(&who)).map(count).sum::<u64>()
    };
    let answers = total(|m| m.latencies_us.len() as u64);
    let cores = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
    let cpu = |share: fn(&Measurement) -> f64| {
        point.each(who, share).iter().sum::<f64>() * 1e3 / answers.max(1) as f64
    };
    Record {
        contestant: who.name().into(),
        model: model.name.clone(),
        precision: if who == Contestant::Peer { "fp32".into() } else { model.precision.clone() },
        against_precision: model.precision.clone(),
        load: point.load.name(),
        offered_rps: point.offered_rps,
        rps: point.median(who, Measurement::rps),
        p50_ms: point.median(who, |m| m.percentile_ms(50.0)),
        p90_ms: point.median(who, |m| m.percentile_ms(90.0)),
        p99_ms: point.median(who, |m| m.percentile_ms(99.0)),
        ratio_of: ratio_of.into(),
        ratio_to_peer: ratio(Contestant::Peer),
        ratio_to_limit: ratio(Contestant::Limit),
        answers,
        refused: total(|m| m.refused),
        failed: total(|m| m.failed),
        cpu_ms_per_request: CpuPerRequest {
            generator: cpu(|m| m.cpu.generator),
            postgres: cpu(|m| m.cpu.postgres),
            contestant: cpu(|m| m.cpu.contestant),
        },
        host_share_elsewhere: median(&point.each(who, |m| m.cpu.elsewhere() / m.seconds)) / cores,
        resident_mb: point.each(who, |m| m.resident_bytes as f64 / 1e6).into_iter().fold(0.0, f64::max),
        rounds: point.rounds.len(),
    }
}

/// Formed per round, so that a temporarily slow host affects both values.
fn ratio(ours: &[f64], theirs: &[f64], seed: u64) -> Option<Interval> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
    Interval::of_median(&ratios, seed)
}

/// The main figures; absent if a load or the peer was omitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Figures {
    /// Throughput over the limit's, each at its best closed load.
    pub(super) saturation_to_limit: Option<Interval>,
    /// Throughput over the peer's, each at its best closed load.
    pub(super) saturation_to_peer: Option<Interval>,
    /// 99th percentile over the peer's, at 60 % of the peer's saturation rate.
    pub(super) p99_at_60_percent_to_peer: Option<Interval>,
    /// Median latency at one client over the limit's plus one commit.
    pub(super) p50_alone_to_limit_and_commit: Option<Interval>,
    pub(super) commit_ms: Option<Interval>,
}

impl Figures {
    pub(super) fn of(points: &[Point], commits_ms: &[f64], seed: u64) -> Self {
        let saturated = |who: Contestant| -> Vec<f64> {
            let closed = points.iter().filter(|point| matches!(point.load, Load::Closed { .. }));
            let median = |point: &Point| point.median(who, Measurement::rps);
            let best = closed.max_by(|a, b| median(a).total_cmp(&median(b)));
            best.map(|point| point.each(who, Measurement::rps)).unwrap_or_default()
        };
        let latency = |who, load: Load, percentile| -> Vec<f64> {
            let point = points.iter().find(|point| point.load == load);
            point.map(|point| point.each(who, |m| m.percentile_ms(percentile))).unwrap_or_default()
        };
        let p99 = |who| latency(who, Load::Open { share: 0.6 }, 99.0);
        let p50_alone = |who| latency(who, Load::Closed { clients: 1 }, 50.0);
        let limit = p50_alone(Contestant::Limit);
        let with_commit: Vec<f64> =
            limit.iter().zip(commits_ms).map(|(limit, commit)| limit + commit).collect();
        Self {
            saturation_to_limit: ratio(&saturated(Contestant::Cxr), &saturated(Contestant::Limit), seed),
            saturation_to_peer: ratio(&saturated(Contestant::Cxr), &saturated(Contestant::Peer), seed),
            p99_at_60_percent_to_peer: ratio(&p99(Contestant::Cxr), &p99(Contestant::Peer), seed),
            p50_alone_to_limit_and_commit: ratio(&p50_alone(Contestant::Cxr), &with_commit, seed),
            commit_ms: Interval::of_median(commits_ms, seed),
        }
    }
}
