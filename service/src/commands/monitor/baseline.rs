//! `monitor baseline` and `monitor simulate`.

use super::{RangeArgs, moment, named};
use crate::config::{self, Sources};
use crate::stdout;
use crate::store::monitoring::{NewBaseline, StoredStream};
use crate::store::{Operator, Store};
use anyhow::{Context, ensure};
use monitoring::baseline::sample::Sample;
use monitoring::baseline::{Baseline, Options};
use monitoring::engine::belongs;
use monitoring::observation::Observation;
use monitoring::simulate::{Plan, Simulation, simulate};
use monitoring::stream::Stream;
use std::process::ExitCode;
use uuid::Uuid;

const BATCH: usize = 2000;
/// Images of a baseline: more do not make it better, and they are held in memory.
const MOST_IMAGES: usize = 200_000;

/// Makes a baseline for each stream and simulates it; stores it if `store_it`.
#[tokio::main]
pub(super) async fn propose(
    sources: &Sources,
    range: &RangeArgs,
    store_it: bool,
) -> anyhow::Result<ExitCode> {
    let (database, _, monitoring) = config::load_monitoring(sources)?;
    let store = Store::new(&database)?;
    let state = store.reader.monitoring_state().await?;
    let chosen: Vec<&StoredStream> = state
        .streams
        .iter()
        .filter(|stream| {
            if range.stream.is_empty() {
                stream.stream.slice == Stream::ALL
            } else {
                range.stream.contains(&stream.id)
            }
        })
        .collect();
    ensure!(!chosen.is_empty(), "no such stream; monitor status prints them");
    let options = Options {
        min_images: range.min_images,
        min_weeks: range.min_weeks,
        alarms_per_year: *monitoring.tickets_per_year,
        ..Options::default()
    };
    let observations = images(&store, range, state.cursor.next_leaf).await?;
    for StoredStream { id, stream, .. } in chosen {
        let own: Vec<Observation> =
            observations.iter().filter(|observation| belongs(observation, stream)).cloned().collect();
        let sample = Sample::of(stream, &own);
        let name = named(stream);
        let mut baseline =
            Baseline::of_sample(&sample, &options).with_context(|| format!("stream {id}, {name}"))?;
        let plan = Plan { n_years: range.years, ..Plan::default() };
        let simulation = simulate(&sample, &baseline, &options, &plan, &|_| {});
        baseline.arm(&simulation);
        stdout::print(format_args!(
            "stream {id}, {name}: {} images, {} of them first of their patient and day, {} weeks, leaves {} to {}",
            baseline.n_images, baseline.n_used, baseline.n_weeks, baseline.first_leaf, baseline.last_leaf
        ));
        print(&simulation);
        if store_it {
            let new = Uuid::now_v7();
            let content = baseline.encode();
            let proposed = NewBaseline {
                id: new,
                stream: *id,
                first_leaf: baseline.first_leaf,
                last_leaf: baseline.last_leaf,
                n_images: baseline.n_images,
                digest: baseline.digest(),
                content: &content,
                simulation: &serde_json::to_value(&simulation)?,
            };
            store.annotations.propose_baseline(&proposed, &Operator::command()).await?;
            stdout::print(format_args!("proposed baseline {new}; approve it with monitor baseline approve"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Rows in a range of time, the newest if there are too many.
async fn images(store: &Store, range: &RangeArgs, end: u64) -> anyhow::Result<Vec<Observation>> {
    let mut next = match range.from {
        Some(from) => store.reader.first_leaf_since(from).await?.context("--from: no row since then")?,
        None => 0,
    };
    // A row may have come later than its neighbours.
    next = next.saturating_sub(BATCH as u64);
    let is_wanted = |row: &Observation| {
        range.from.is_none_or(|from| row.received_at >= from)
            && range.to.is_none_or(|to| row.received_at < to)
    };
    let mut images = Vec::new();
    while next < end {
        let limit = BATCH.min((end - next) as usize);
        let batch = store.reader.monitoring_rows(next, limit).await?;
        ensure!(batch.n_leaves > 0, "the tree has no leaf {next}");
        next = batch.next_leaf;
        images.extend(batch.rows.into_iter().filter(is_wanted));
        if images.len() > 2 * MOST_IMAGES {
            images.drain(..images.len() - MOST_IMAGES);
        }
    }
    images.drain(..images.len().saturating_sub(MOST_IMAGES));
    Ok(images)
}

fn print(simulation: &Simulation) {
    stdout::print(format_args!(
        "  simulated {} years of {:.0} images",
        simulation.n_years, simulation.images_per_year
    ));
    for detector in &simulation.detectors {
        let verdict = if detector.keeps_budget { "armed" } else { "not armed" };
        stdout::print(format_args!(
            "  {}: stated {:.2} false alarms a year, measured {:.2} ({:.2} to {:.2}): {verdict}",
            detector.detector.name(),
            detector.stated_per_year,
            detector.measured_per_year,
            detector.low_per_year,
            detector.high_per_year
        ));
    }
    for delay in &simulation.delays {
        stdout::print(format_args!("  {delay:?}"));
    }
}

#[tokio::main]
pub(super) async fn approve(sources: &Sources, id: Uuid, reason: &str) -> anyhow::Result<ExitCode> {
    let reason = super::reason(reason)?;
    let (database, _) = config::load_database(sources)?;
    let store = Store::new(&database)?;
    let content = store.reader.baseline_content(id).await?;
    let content = content.with_context(|| format!("no baseline {id}; monitor baseline list prints them"))?;
    Baseline::decode(&content).with_context(|| format!("baseline {id} is damaged"))?;
    if store.annotations.approve_baseline(id, &Operator::command(), &reason).await? {
        stdout::print(format_args!("approved baseline {id}: it is used from the next image on"));
    } else {
        stdout::print(format_args!("baseline {id} was approved before"));
    }
    Ok(ExitCode::SUCCESS)
}

#[tokio::main]
pub(super) async fn list(sources: &Sources) -> anyhow::Result<ExitCode> {
    let (database, _) = config::load_database(sources)?;
    let store = Store::new(&database)?;
    for baseline in store.reader.baselines().await? {
        let approved =
            baseline.approved_at.map_or("not approved".to_owned(), |at| format!("approved {}", moment(at)));
        stdout::print(format_args!(
            "{} of stream {}, proposed {} by {}, {} images, leaves {} to {}, {approved}",
            baseline.id,
            baseline.stream,
            moment(baseline.proposed_at),
            baseline.actor,
            baseline.n_images,
            baseline.first_leaf,
            baseline.last_leaf
        ));
    }
    Ok(ExitCode::SUCCESS)
}
