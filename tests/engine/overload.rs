//! Overload: refusals are immediate and readable, and admitted requests keep their throughput.

use crate::load::{Load, p99};
use std::time::{Duration, Instant};
use system_tests::server::{Options, Server};
use system_tests::{images, postgres};

/// Clients in the overload: ten per slot.
const CLIENTS: usize = 40;
const SLOTS: usize = 4;

fn seconds() -> Duration {
    let long = std::env::var_os("CXR_LONG_TESTS").is_some();
    Duration::from_secs(if long { 60 } else { 6 })
}

fn resident_bytes(server: &Server) -> u64 {
    server.memory_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overload_of_ten_times_is_refused_at_once_and_admitted_requests_keep_their_throughput() {
    let _host = crate::HOST.write().await;
    let url = postgres::shared().database();
    // Measures the cost of a refusal itself: none is delayed.
    let options = Options::on(&url).set("limits.max_in_flight", &SLOTS).set("model.sessions", &2);
    let options = options.set("http.refusal_delay_ms", &0);
    let server = options.start_ready().await;
    let images: Vec<Vec<u8>> = (0..4).map(|seed| images::jpeg(seed, seed % 2 == 0)).collect();
    let quiet = Load::start(&server, SLOTS, &images);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let quiet = quiet.stop().await;
    assert!(
        quiet.iter().all(|outcome| outcome.status == Some(200)),
        "without more clients than slots, nothing is refused"
    );
    let quiet_rate = quiet.len() as f64 / 3.0;
    let (before, started) = (resident_bytes(&server), Instant::now());

    // The offered load is ten times the throughput before; the refused clients share it.
    let pause = Duration::from_secs_f64((CLIENTS - SLOTS) as f64 / (9.0 * quiet_rate));
    let load = Load::paced(&server, CLIENTS, &images, pause);
    let mut slowest_probe = Duration::ZERO;
    while started.elapsed() < seconds() {
        let sent = Instant::now();
        let alive = server.client.get(format!("{}/livez", server.base)).send().await.unwrap();
        assert_eq!(alive.status(), 200);
        slowest_probe = slowest_probe.max(sent.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let outcomes = load.stop().await;
    let after = resident_bytes(&server);
    let stopped = Instant::now();
    let accepted: Vec<Duration> =
        outcomes.iter().filter(|outcome| outcome.status == Some(200)).map(|outcome| outcome.took).collect();
    let refused = outcomes.iter().filter(|outcome| outcome.status == Some(429)).count();
    let other: Vec<_> =
        outcomes.iter().filter(|outcome| !matches!(outcome.status, Some(200 | 429))).take(3).collect();
    assert!(other.is_empty(), "{other:?}");
    assert!(refused > accepted.len(), "{refused} refused, {} accepted", accepted.len());
    assert!(!accepted.is_empty() && slowest_probe < Duration::from_secs(2), "{slowest_probe:?}");
    let accepted_rate = accepted.len() as f64 / seconds().as_secs_f64();
    assert!(
        accepted_rate > 0.3 * quiet_rate,
        "{accepted_rate} a second accepted, {quiet_rate} without overload"
    );
    let mut decided = refusal_times(&server);
    decided.sort_unstable();
    assert!(decided[decided.len() / 2] < Duration::from_millis(5), "{:?}", decided[decided.len() / 2]);
    assert!(after < before + (64 << 20), "{before} bytes before, {after} after");

    // The throughput recovers and stays. Half of it suffices, because other programs share this host.
    tokio::time::sleep(Duration::from_secs(2).saturating_sub(stopped.elapsed())).await;
    let (mut again, mut rates) = (0, Vec::new());
    while rates.last().is_none_or(|rate| *rate < 0.5 * quiet_rate) {
        assert!(rates.len() < 5, "{quiet_rate} a second before, then {rates:?}");
        let load = Load::start(&server, SLOTS, &images);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let outcomes = load.stop().await;
        assert!(outcomes.iter().all(|outcome| outcome.status == Some(200)));
        again += outcomes.len();
        rates.push(outcomes.len() as f64 / 3.0);
    }
    let rows: usize = postgres::psql(&url, "select count(*) from predictions").unwrap().parse().unwrap();
    let answered = quiet.len() + accepted.len() + again;
    assert_eq!(rows, answered, "a row for each answer, none for what was refused");
    println!(
        "{:.0} a second came and {accepted_rate:.0} were accepted; {quiet_rate:.0} a second before, {rates:.0?} after; quiet p99 {:?}, accepted p99 {:?}, {refused} refused, {} accepted; server's own time of a refusal: {:?}",
        outcomes.len() as f64 / seconds().as_secs_f64(),
        p99(quiet.iter().map(|outcome| outcome.took).collect()),
        p99(accepted.clone()),
        accepted.len(),
        p99(decided),
    );
}

/// Connections of the client that retries at once.
const FLOOD_CONNECTIONS: usize = 300;
/// Clients with another token beside it.
const POLITE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ignores_retry_after_does_not_affect_other_clients() {
    let _host = crate::HOST.write().await;
    let options = Options::on(&postgres::shared().database()).unset("limits.client_max_in_flight");
    let server = options.set("model.sessions", &2).start_ready().await;
    let images: Vec<Vec<u8>> = (0..4).map(|seed| images::jpeg(seed, seed % 2 == 0)).collect();
    let polite = async |time| {
        let load = Load::of("polite", &server, POLITE, &images, Duration::ZERO);
        tokio::time::sleep(time).await;
        load.stop().await
    };
    let quiet = polite(Duration::from_secs(3)).await;
    let begun = Instant::now();
    let flood = Load::of("flood", &server, FLOOD_CONNECTIONS, &images, Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let beside = polite(seconds()).await;
    let flood = flood.stop().await;
    let took = begun.elapsed().as_secs_f64();
    let again = polite(Duration::from_secs(3)).await;

    for outcome in quiet.iter().chain(&beside).chain(&again) {
        assert_eq!(outcome.status, Some(200), "a client within its limits gets all its answers");
    }
    let count = |status| flood.iter().filter(|outcome| outcome.status == Some(status)).count();
    let (good, refused) = (count(200), count(429));
    // Connections beyond the limit of the address are closed or evicted.
    let closed = flood.iter().filter(|outcome| outcome.status.is_none()).count();
    assert_eq!(good + refused + closed, flood.len());
    let rate = |outcomes: usize, seconds: f64| outcomes as f64 / seconds;
    let (quiet_rate, again_rate) = (rate(quiet.len(), 3.0), rate(again.len(), 3.0));
    let all_good = rate(beside.len(), seconds().as_secs_f64()) + rate(good, took);
    let refusals = rate(refused, took);
    println!(
        "{quiet_rate:.0} a second alone, {all_good:.0} beside ({} of them polite), {again_rate:.0} after; {refusals:.0} refusals a second, {closed} connections closed",
        beside.len()
    );
    // 100 at once and 50 per second, until each of its connections waits for 5 s.
    assert!(refusals < 150.0, "{refusals} refusals a second");
    assert!(all_good > 0.5 * quiet_rate, "{all_good} good answers a second, {quiet_rate} alone");
    assert!(again_rate > 0.5 * quiet_rate, "{again_rate} a second after, {quiet_rate} before");
}

/// How long the server took to decide each refusal, from its log.
fn refusal_times(server: &Server) -> Vec<Duration> {
    let log = server.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let refused = lines.filter(|event| event["status"] == 429);
    let times: Vec<Duration> = refused
        .filter_map(|event| event["duration_ms"].as_f64())
        .map(|ms| Duration::from_secs_f64(ms / 1e3))
        .collect();
    assert!(!times.is_empty());
    times
}
