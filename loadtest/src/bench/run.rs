//! The benchmark of one model: starts and tunes the contestants, runs the rounds, and computes the figures.

use super::Args;
use super::accounting::peak_resident_bytes;
use super::images::Images;
use super::interval::median;
use super::limit::{Cell, Limit, LimitCell, pack};
use super::load::Load;
use super::model::Model;
use super::overload::{self, Overload};
use super::peer::{Peer, PeerCell, PeerSetting};
use super::rounds::{self, Contestant, Field, Plan, Point};
use super::server::Server;
use super::service::{self, Limits};
use super::soak::{Soak, soak};
use super::summary::{Figures, Record, records};
use crate::generator::{Traffic, Window};
use crate::terminal::progress;
use anyhow::Result;
use rig::Postgres;
use serde::Serialize;
use std::path::Path;

const SWEEP_S: f64 = 2.5;
/// Clients that saturate a server, for the soak and for the peer's saturation rate.
const SATURATING_CLIENTS: usize = 16;
/// Windows in which the peer's saturation rate is measured.
const REFERENCE_WINDOWS: usize = 5;

/// The share of the host that other programs may use before a warning is printed.
const MAX_SHARE_ELSEWHERE: f64 = 0.05;

#[derive(Debug, Serialize)]
pub(super) struct ModelReport {
    /// `densenet121 int8`.
    pub(super) title: String,
    pub(super) figures: Figures,
    /// The limit's cells, best first. The best took part.
    pub(super) limit_cells: Vec<LimitCell>,
    /// The peer's settings, best first. The best took part.
    pub(super) peer_cells: Vec<PeerCell>,
    pub(super) settings: Vec<service::Setting>,
    pub(super) ready_ms: f64,
    pub(super) peak_resident_mb: f64,
    pub(super) soak: Option<Soak>,
    pub(super) overload: Vec<Overload>,
    pub(super) records: Vec<Record>,
}

/// One model and everything that its benchmark needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) args: &'a Args,
    pub(super) model: &'a Model,
    pub(super) images: &'a Images,
    pub(super) postgres: &'a Postgres,
    pub(super) logs: &'a Path,
}

pub(super) async fn measure(
    args: &Args,
    model: &Model,
    images: &Images,
    postgres: &Postgres,
) -> Result<ModelReport> {
    // An absolute path: the children have other working directories.
    let logs = std::path::absolute(args.out.join("logs").join(model.title().replace(' ', "-")))?;
    std::fs::create_dir_all(&logs)?;
    let run = Run { args, model, images, postgres, logs: &logs };
    progress(format_args!("== {}", model.title()));
    let (limit, limit_cells) = run.start_limit()?;
    let (peer, peer_cells) = run.start_peer().await?;
    let (mut server, ready_ms) = service::start(run, Limits::Wide)?;
    server.check("the service").await?;
    let mut field = Field { service: server, peer, limit };
    let plan = plan(args, limit_cells[0], peer_cells.first());
    let minutes = plan.total_s(field.contestants().len()) / 60.0;
    progress(format_args!("{} rounds, about {minutes:.1} minutes", plan.rounds));
    let (points, commits_ms) = rounds::run(&mut field, &plan, postgres).await?;
    let soak = match args.soak_minutes {
        minutes if minutes > 0.0 => Some(soak(&mut field.service, SATURATING_CLIENTS, minutes).await?),
        _ => None,
    };
    warn(&points, &logs);
    let peak_resident_bytes = peak_resident_bytes(field.service.process.id())?;
    // The overload needs the cores for itself.
    drop(field);
    Ok(ModelReport {
        title: model.title(),
        figures: Figures::of(&points, &commits_ms, args.seed),
        limit_cells,
        peer_cells,
        settings: args.settings.clone(),
        ready_ms,
        peak_resident_mb: peak_resident_bytes as f64 / 1e6,
        soak,
        overload: overload::measure(run).await?,
        records: records(model, &points, args.seed),
    })
}

impl Run<'_> {
    fn start_limit(self) -> Result<(Limit, Vec<LimitCell>)> {
        let packed = self.logs.join("images");
        pack(&self.images.files, &packed)?;
        let mut limit = Limit::start(self.model, &packed, self.logs)?;
        let cells = if self.args.quick {
            let sessions = std::thread::available_parallelism()?.get();
            vec![limit.try_cell(Cell { sessions, intra_threads: 1, spinning: false, batch: 1 }, 0.5)?]
        } else if let Some(cell) = self.args.limit {
            vec![limit.try_cell(cell, SWEEP_S)?]
        } else {
            limit.sweep(SWEEP_S)?
        };
        limit.prepare(cells[0].cell)?;
        Ok((limit, cells))
    }

    async fn start_peer(self) -> Result<(Option<Server>, Vec<PeerCell>)> {
        let Self { args, images, logs, .. } = self;
        if args.without_peer {
            return Ok((None, Vec::new()));
        }
        let peer = Peer::prepare(self.model, self.postgres, logs)?;
        let cores = std::thread::available_parallelism()?.get();
        let quick = args.quick.then_some(PeerSetting { workers: cores, intra_threads: 1, pool_threads: 1 });
        let mut cells = match args.peer.or(quick) {
            Some(setting) => vec![peer.try_setting(setting, images, SWEEP_S, logs).await?],
            None => peer.sweep(images, SWEEP_S, logs).await?,
        };
        let mut server = peer.start(cells[0].setting, images, logs).await?;
        if !args.quick {
            // The open loads depend on this rate, and the speed of a shared host varies between windows.
            let mut rates = Vec::new();
            for _ in 0..REFERENCE_WINDOWS {
                let (window, clients) = (Window { warm_s: 0.2, seconds: SWEEP_S }, SATURATING_CLIENTS);
                rates.push(server.measure(Traffic::Closed { clients }, window).await?.rps());
            }
            cells[0].rps = median(&rates);
            progress(format_args!("the peer is saturated at {:.1} requests/s", cells[0].rps));
        }
        Ok((Some(server), cells))
    }
}

fn plan(args: &Args, limit: LimitCell, peer: Option<&PeerCell>) -> Plan {
    let quick = [Load::Closed { clients: 1 }, Load::Closed { clients: 16 }, Load::Open { share: 0.6 }];
    Plan {
        loads: if args.quick { quick.to_vec() } else { args.loads.clone() },
        rounds: if args.quick { 1 } else { args.rounds.max(1) },
        seconds: if args.quick { 1.0 } else { args.seconds },
        seed: args.seed,
        limit_rps: limit.rps,
        reference_rps: peer.map_or(limit.rps, |peer| peer.rps),
    }
}

/// Warns about failures and about a host that other programs used: both make the figures unreliable.
fn warn(points: &[Point], logs: &Path) {
    for point in points {
        let cores = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
        for who in [Contestant::Cxr, Contestant::Peer, Contestant::Limit] {
            let elsewhere = point.median(who, |m| m.cpu.elsewhere() / m.seconds) / cores;
            let (name, load, percent) = (who.name(), point.load.name(), elsewhere * 100.0);
            if elsewhere > MAX_SHARE_ELSEWHERE {
                progress(format_args!(
                    "warning: other programs used {percent:.0} % of the host ({name} at {load})"
                ));
            }
            let failed: f64 = point.each(who, |m| m.failed as f64).iter().sum();
            if failed > 0.0 {
                let logs = logs.display();
                progress(format_args!("warning: {name} failed {failed} requests at {load}; see {logs}"));
            }
        }
    }
}
