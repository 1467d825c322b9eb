//! More than can be done: what is refused is refused at once and read by its sender, what is accepted keeps its pace.

use crate::load::{Load, p99};
use std::time::{Duration, Instant};
use system_tests::server::{Options, Server};
use system_tests::{images, postgres};

/// Clients in the overload: ten for each place.
const CLIENTS: usize = 40;
const PLACES: usize = 4;

fn seconds() -> Duration {
    let long = std::env::var_os("CXR_LONG_TESTS").is_some();
    Duration::from_secs(if long { 60 } else { 6 })
}

fn resident_bytes(server: &Server) -> u64 {
    server.memory_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_too_much_is_refused_at_once_and_the_accepted_keep_their_pace() {
    let _host = crate::HOST.write().await;
    let url = postgres::shared().database();
    let options = Options::on(&url).set("limits.max_in_flight", &PLACES).set("model.sessions", &2);
    let server = options.start_ready().await;
    let images: Vec<Vec<u8>> = (0..4).map(|seed| images::jpeg(seed, seed % 2 == 0)).collect();
    let quiet = Load::start(&server, PLACES, &images);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let quiet = quiet.stop().await;
    assert!(quiet.iter().all(|outcome| outcome.status == Some(200)), "as many as there are places");
    let quiet_rate = quiet.len() as f64 / 3.0;
    let (before, started) = (resident_bytes(&server), Instant::now());

    // What comes is ten times what was done before: the refused share it out among them.
    let pause = Duration::from_secs_f64((CLIENTS - PLACES) as f64 / (9.0 * quiet_rate));
    let load = Load::paced(&server, CLIENTS, &images, pause);
    let mut slowest_probe = Duration::ZERO;
    while started.elapsed() < seconds() {
        let asked = Instant::now();
        let alive = server.client.get(format!("{}/livez", server.base)).send().await.unwrap();
        assert_eq!(alive.status(), 200);
        slowest_probe = slowest_probe.max(asked.elapsed());
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

    // Full speed again, and it stays so. Half of it counts: other programs of this host take their share too.
    tokio::time::sleep(Duration::from_secs(2).saturating_sub(stopped.elapsed())).await;
    let (mut again, mut rates) = (0, Vec::new());
    while rates.last().is_none_or(|rate| *rate < 0.5 * quiet_rate) {
        assert!(rates.len() < 5, "{quiet_rate} a second before, then {rates:?}");
        let load = Load::start(&server, PLACES, &images);
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
