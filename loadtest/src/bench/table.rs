//! `table.md`: the figures as Markdown.

use super::interval::Interval;
use super::overload::Overload;
use super::run::ModelReport;
use super::summary::{CpuPerRequest, Record};
use std::fmt::Write as _;

pub(super) fn markdown(host: &str, images: &str, reports: &[ModelReport]) -> String {
    let mut text = format!("# Benchmark\n\n{host}\n\nImages: {images}.\n");
    for report in reports {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n## {}\n\n{}\n{}\n{}{}",
            report.title,
            figures(report),
            sweeps(report),
            loads(&report.records),
            overload(&report.overload)
        );
    }
    text
}

fn figures(report: &ModelReport) -> String {
    let figures = &report.figures;
    let mut text = String::from("| figure | median | 95 % interval |\n|---|--:|--:|\n");
    let mut line = |name: &str, interval: Option<Interval>| {
        let (value, range) = interval.map_or_else(
            || ("not measured".into(), String::new()),
            |i| (format!("{:.3}", i.value), format!("{:.3} to {:.3}", i.low, i.high)),
        );
        let _ = writeln!(text, "| {name} | {value} | {range} |");
    };
    line("throughput at saturation / limit", figures.saturation_to_limit);
    line("throughput at saturation / peer", figures.saturation_to_peer);
    line("p99 at 60 % of the peer's saturation rate / peer's", figures.p99_at_60_percent_to_peer);
    line("p50 at one client / (limit's + one commit)", figures.p50_alone_to_limit_and_commit);
    line("one commit, ms", figures.commit_ms);
    let _ = writeln!(text, "| the service's peak resident memory, MB | {:.0} | |", report.peak_resident_mb);
    let _ = writeln!(text, "| the service's start to ready, ms | {:.0} | |", report.ready_ms);
    if let Some(soak) = &report.soak {
        let _ = writeln!(
            text,
            "| resident memory over {:.1} minutes at saturation: first, last, slope in MB per minute | {:.0}, {:.0}, {:.2} | |",
            soak.minutes, soak.first_mb, soak.last_mb, soak.slope_mb_per_minute
        );
    }
    text
}

fn overload(found: &[Overload]) -> String {
    let mut text = String::new();
    for overload in found {
        let Overload { generator, clients, rude_connections, .. } = overload;
        let _ = write!(
            text,
            "\nOverload: {clients} clients beside {generator} with {rude_connections} connections that retry at once. Good answers of all \
             relative to those without it: {}; of the clients after it has ended: {}; requests of the clients that were refused or failed: {}.\n\n\
             | round | unloaded, answers/s | clients | {generator} | its refusals/s | clients' p99 ms | afterwards |\n|--:|--:|--:|--:|--:|--:|--:|\n",
            ratio(overload.good_to_unloaded),
            ratio(overload.afterwards_to_unloaded),
            overload.clients_unanswered
        );
        for (n, r) in overload.rounds.iter().enumerate() {
            let _ = write!(text, "| {} | {:.1} | {:.1} | {:.1} |", n + 1, r.unloaded, r.clients, r.rude);
            let _ = writeln!(text, " {:.1} | {:.0} | {:.1} |", r.refusals, r.clients_p99_ms, r.afterwards);
        }
    }
    text
}

fn ratio(interval: Option<Interval>) -> String {
    interval.map_or_else(String::new, |i| format!("{:.3} ({:.3} to {:.3})", i.value, i.low, i.high))
}

fn sweeps(report: &ModelReport) -> String {
    let cells = report.limit_cells.iter();
    let cells =
        cells.map(|c| format!("{} {:.1}/s (a single image {:.2} ms)", c.cell, c.rps, c.single_p50_ms));
    let mut text = format!("\nThe limit's cells: {}", cells.collect::<Vec<_>>().join("; "));
    if !report.peer_cells.is_empty() {
        let cells = report.peer_cells.iter();
        let cells = cells.map(|c| format!("{} {:.1}/s (p50 {:.1} ms)", c.setting, c.rps, c.p50_ms));
        let _ = write!(text, ".\n\nThe peer's settings: {}", cells.collect::<Vec<_>>().join("; "));
    }
    text.push_str(".\n");
    text
}

fn loads(records: &[Record]) -> String {
    let mut text = String::from(
        "| load | contestant | requests/s | p50 ms | p90 ms | p99 ms | ratio of | to peer | to limit | refused | failed | \
         CPU ms per request: contestant, Postgres, generator | elsewhere, % | MB |\n|---|---|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for r in records {
        let Record { load, contestant, rps, p50_ms, p90_ms, p99_ms, ratio_of, refused, failed, .. } = r;
        let (to_peer, to_limit) = (ratio(r.ratio_to_peer), ratio(r.ratio_to_limit));
        let CpuPerRequest { contestant: cpu, postgres, generator } = r.cpu_ms_per_request;
        let elsewhere = r.host_share_elsewhere * 100.0;
        let _ = writeln!(
            text,
            "| {load} | {contestant} | {rps:.1} | {p50_ms:.1} | {p90_ms:.1} | {p99_ms:.1} | {ratio_of} | {to_peer} | {to_limit} | \
             {refused} | {failed} | {cpu:.2}, {postgres:.2}, {generator:.2} | {elsewhere:.0} | {:.0} |",
            r.resident_mb
        );
    }
    text
}
