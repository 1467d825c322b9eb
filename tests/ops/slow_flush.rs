//! A disk with slow flushes: rows share flushes, and no row waits for more than its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use system_tests::postgres::{Cluster, psql};
use system_tests::server::{Options, Server};
use system_tests::{images, preload};

const CLIENTS: u32 = 64;

/// Sends requests at a rate. Returns the numbers of answers, flushes and rows.
async fn load(server: &Arc<Server>, url: &str, per_second: u32, time: Duration) -> (usize, u64, u64) {
    let count = |query: &str| psql(url, query).expect("an answer").parse::<u64>().expect("a number");
    let flushes = || count("select wal_sync from pg_stat_wal");
    let rows = || count("select count(*) from predictions");
    let (flushes_before, rows_before) = (flushes(), rows());
    let pause = Duration::from_secs(1) * CLIENTS / per_second;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let server = Arc::clone(server);
            tokio::spawn(async move {
                let image = images::blank();
                let begun = Instant::now();
                let mut next = begun + pause * n / CLIENTS;
                let mut answered = 0;
                while begun.elapsed() < time {
                    tokio::time::sleep_until(next.into()).await;
                    next += pause;
                    assert_eq!(server.post("", image.clone()).await.status(), 422);
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    let mut answered = 0;
    for client in clients {
        answered += client.await.expect("no client panics");
    }
    (answered, flushes() - flushes_before, rows() - rows_before)
}

/// Sends bursts: all clients at once, at a fixed interval. Returns the numbers of flushes and rows.
async fn bursts(server: &Arc<Server>, url: &str, per_second: u32, time: Duration) -> (u64, u64) {
    let count = |query: &str| psql(url, query).expect("an answer").parse::<u64>().expect("a number");
    let counted = || (count("select wal_sync from pg_stat_wal"), count("select count(*) from predictions"));
    let (flushes, rows) = counted();
    let beat = Duration::from_secs(1) * CLIENTS / per_second;
    let begun = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let server = Arc::clone(server);
            tokio::spawn(async move {
                let image = images::blank();
                for n in 0.. {
                    tokio::time::sleep_until((begun + beat * n).into()).await;
                    if begun.elapsed() >= time {
                        break;
                    }
                    assert_eq!(server.post("", image.clone()).await.status(), 422);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("no client panics");
    }
    // The counters of Postgres lag by at most a second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (flushes_after, rows_after) = counted();
    (flushes_after - flushes, rows_after - rows)
}

/// The cumulative histogram of the audit phase: upper bounds in ms, and counts.
async fn audit_phases(server: &Server) -> Vec<(f64, f64)> {
    let metrics = server.client.get(format!("{}/metrics", server.base)).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    let bucket = |line: &str| {
        let bucket = line.strip_prefix("cxr_phase_duration_seconds_bucket{phase=\"audit\",le=\"")?;
        let (bound, n) = bucket.split_once("\"} ")?;
        Some((bound.parse::<f64>().ok()? * 1e3, n.parse::<f64>().ok()?))
    };
    metrics.lines().filter_map(bucket).collect()
}

/// The upper bound of a quantile of the audit phases between two histograms.
fn quantile(before: &[(f64, f64)], after: &[(f64, f64)], share: f64) -> f64 {
    let since: Vec<(f64, f64)> = before.iter().zip(after).map(|(b, a)| (a.0, a.1 - b.1)).collect();
    let all = since.last().expect("buckets").1;
    since.iter().find(|(_, n)| *n >= share * all).expect("the last one").0
}

/// A cluster with slow flushes and recycled WAL files, as after some use. A new cluster creates each WAL file
/// of 16 MB when it needs it, and every commit waits for that.
fn slow(library: &Path, flush_ms: &str) -> Cluster {
    let cluster =
        Cluster::durable(&[("LD_PRELOAD", &library.display().to_string()), ("CXR_FLUSH_MS", flush_ms)]);
    let url = cluster.url("postgres");
    for _ in 0..6 {
        psql(&url, "select pg_logical_emit_message(false, 'test', 'a file'), pg_switch_wal()")
            .expect("it is done");
    }
    psql(&url, "checkpoint").expect("it is done");
    cluster
}

/// Describes the audit phase between two histograms. It is printed and not asserted, because it depends on
/// the host's load.
fn audit_phase_between(before: &[(f64, f64)], after: &[(f64, f64)]) -> String {
    let within = |share| quantile(before, after, share);
    format!("audit p50 {} ms, p95 {} ms, p99 {} ms", within(0.5), within(0.95), within(0.99))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_share_slow_flushes() {
    let folder = tempfile::tempdir().unwrap();
    let library = preload::build("tests/ops/slow_flush.c", folder.path());
    let time = if std::env::var_os("CXR_LONG_TESTS").is_some() { 30 } else { 2 };
    for flush_ms in ["0", "8"] {
        let cluster = slow(&library, flush_ms);
        let url = cluster.database();
        let options = Options::on(&url).set("audit.commit.from_in_flight", &1);
        let options = options.set("audit.commit.max_delay_ms", if flush_ms == "8" { &25 } else { &2 });
        // The sequencer flushes too: 4 times per second, not 40.
        let server = Arc::new(options.start_ready().await);
        load(&server, &url, 200, Duration::from_secs(1)).await;
        for per_second in [200, 600] {
            let before = audit_phases(&server).await;
            let (answered, flushes, rows) = load(&server, &url, per_second, Duration::from_secs(time)).await;
            assert_eq!(answered as u64, rows, "a row for each answer");
            println!(
                "flushes of {flush_ms} ms more, {per_second} requests per second: {rows} rows in {flushes} flushes, {:.1} a flush; {}",
                rows as f64 / flushes as f64,
                audit_phase_between(&before, &audit_phases(&server).await)
            );
            if flush_ms == "8" {
                // At 200 per second a commit takes about as long as two arrivals are apart, so its end and
                // the second arrival race: groups of two, or of three. At 600 they are clearly larger.
                let least = if per_second == 200 { 1.5 } else { 4.0 };
                assert!(rows as f64 > least * flushes as f64, "{rows} rows in {flushes} flushes");
            }
        }
    }
}

/// Rows per flush of a warm service under bursts, and a description of the audit phase.
async fn rows_a_flush(cluster: &Cluster, settings: &[(&str, u32)], time: Duration) -> (f64, String) {
    let url = cluster.database();
    let options = settings.iter().fold(Options::on(&url), |options, (key, value)| options.set(key, value));
    let server = Arc::new(options.start_ready().await);
    // In the first bursts, connections prepare their statements.
    bursts(&server, &url, 200, Duration::from_secs(1)).await;
    let before = audit_phases(&server).await;
    let (flushes, rows) = bursts(&server, &url, 200, time).await;
    let after = audit_phases(&server).await;
    let together = rows as f64 / flushes as f64;
    let summary = format!(
        "{settings:?}: {rows} rows in {flushes} flushes, {together:.1} a flush; {}",
        audit_phase_between(&before, &after)
    );
    (together, summary)
}

/// 64 images at once every 320 ms, as gateways send them.
const FOR_BURSTS: [(&str, u32); 3] =
    [("audit.commit.max_rows", 64), ("audit.commit.max_delay_ms", 2), ("audit.commit.from_in_flight", 1)];

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_burst_are_flushed_together() {
    let folder = tempfile::tempdir().unwrap();
    let library = preload::build("tests/ops/slow_flush.c", folder.path());
    let long = std::env::var_os("CXR_LONG_TESTS").is_some();
    let time = Duration::from_secs(if long { 30 } else { 4 });
    if long {
        println!("flushes as they are");
        let cluster = slow(&library, "0");
        println!("{}", rows_a_flush(&cluster, &[], time).await.1);
        println!("{}", rows_a_flush(&cluster, &FOR_BURSTS, time).await.1);
    }
    println!("flushes of 8 ms more");
    let cluster = slow(&library, "8");
    for settings in [&[], FOR_BURSTS.as_slice()] {
        let (together, summary) = rows_a_flush(&cluster, settings, time).await;
        println!("{summary}");
        assert!(together >= 10.0, "{together:.1} rows a flush with {settings:?}");
    }
}
