//! One fault from beginning to end: a service under load, the fault, what was seen of it, the recovery, the reckoning.

use crate::accounts::{balance, sequenced, verified};
use crate::load::{Exchange, Load};
use crate::probes::{Look, Probes};
use std::sync::Arc;
use std::time::{Duration, Instant};
use system_tests::server::{Options, Server};

/// Requests a second. Two slow cores do three times as many with two such tests beside each other.
const PER_SECOND: u32 = 25;
/// Longest from Postgres being back until answers, readiness, and the end of refusals.
const RECOVERY: Duration = Duration::from_secs(5);
/// Most memory that a fault may cost: what allocators keep of one burst more, not what piles up.
const MEMORY_BYTES: u64 = 24 << 20;

/// What a fault must look like from outside.
pub(crate) struct Expected {
    /// Longest that a refused request waited.
    pub(crate) refused_within: Duration,
    /// Whether nothing is answered while it lasts: requests that began after its first second.
    pub(crate) nothing_answered: bool,
}

/// A service under load.
pub(crate) struct Trial {
    name: &'static str,
    /// The database, not over the line that breaks.
    url: String,
    server: Arc<Server>,
    load: Load,
    probes: Probes,
    warm_bytes: u64,
    /// When the fault began, and until when it certainly lasted.
    fault: Option<(Instant, Instant)>,
}

/// When what was well again, counted from Postgres being back.
struct Recovery {
    first_answer: Duration,
    last_refusal: Duration,
    ready: Duration,
}

impl Trial {
    /// Starts a service and lets it get warm: with as many images inside as there may be.
    pub(crate) async fn start(name: &'static str, url: &str, options: Options) -> Self {
        let server = Arc::new(options.start_ready().await);
        let load = Load::start(&server, PER_SECOND);
        for _ in 0..2 {
            load.begin_burst(60).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let probes = Probes::start(Arc::clone(&server));
        let warm_bytes = server.memory_bytes();
        Self { name, url: url.to_owned(), server, load, probes, warm_bytes, fault: None }
    }

    /// The fault has begun, and works for so long.
    pub(crate) async fn endure(&mut self, time: Duration) {
        let begun = self.fault.map_or_else(Instant::now, |(begun, _)| begun);
        tokio::time::sleep(time).await;
        self.fault = Some((begun, Instant::now()));
    }

    /// The same, with as many requests at first as take every connection, and then none until Postgres is back: as from a
    /// balancer that saw it unready.
    pub(crate) async fn endure_idle(&mut self, time: Duration) {
        self.load.pause(true);
        if self.fault.is_none() {
            self.load.begin_burst(30);
        }
        self.endure(time).await;
    }

    /// Postgres is back: waits for the service, then looks at everything.
    #[expect(clippy::print_stdout, reason = "figures of docs/AUDIT.md")]
    pub(crate) async fn recovers(self, expected: &Expected) {
        let healed = Instant::now();
        self.load.pause(false);
        let (fault, until) = self.fault.unwrap();
        let recovery = self.recovery(healed).await;
        let looks = self.probes.so_far();
        drop(self.probes);
        let (exchanges, settled) = self.load.settle().await;
        let sequenced_after = sequenced(&self.url).await;
        let end_bytes = self.server.memory_bytes();
        let during = |at: Instant| at >= fault && at < healed;

        let refused: Vec<&Exchange> = exchanges.iter().filter(|e| e.status == Some(503)).collect();
        let slowest = refused.iter().map(|e| e.took).max().unwrap_or_default();
        let peak_bytes = looks.iter().map(|look| look.memory_bytes).max().unwrap_or_default();
        let told: Vec<&Look> =
            looks.iter().filter(|look| during(look.at) && look.told_after.is_some()).collect();
        let slowest_probe = told.iter().filter_map(|look| look.told_after).max().unwrap_or_default();
        let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "{}: back after {:.1} s: first answer {:.2} s, last refusal {:.2} s, ready {:.2} s later; {} requests: {} 503 (slowest {:.1} s), {} 429; {} sent again; /readyz within {:.1} s; all in the tree {:.1} s after the end; memory {:.0} MiB warm, {:.0} peak, {:.0} at the end",
            self.name,
            (healed - fault).as_secs_f64(),
            recovery.first_answer.as_secs_f64(),
            recovery.last_refusal.as_secs_f64(),
            recovery.ready.as_secs_f64(),
            exchanges.len(),
            refused.len(),
            slowest.as_secs_f64(),
            exchanges.iter().filter(|e| e.status == Some(429)).count(),
            settled.len(),
            slowest_probe.as_secs_f64(),
            sequenced_after.as_secs_f64(),
            megabytes(self.warm_bytes),
            megabytes(peak_bytes),
            megabytes(end_bytes),
        );

        bounded(&exchanges);
        assert!(refused.iter().filter(|e| during(e.ended())).count() >= 5, "the fault was not felt");
        assert!(slowest <= expected.refused_within, "{slowest:?}");
        if expected.nothing_answered {
            let from = fault + Duration::from_secs(1);
            let answered = exchanges
                .iter()
                .find(|e| matches!(e.status, Some(200 | 422)) && e.begun > from && e.ended() < until);
            assert!(answered.is_none(), "{answered:?}");
        }
        watched(&looks, &told);
        for (what, time) in [
            ("the first answer", recovery.first_answer),
            ("the last refusal", recovery.last_refusal),
            ("readiness", recovery.ready),
        ] {
            assert!(time <= RECOVERY, "{what} came {time:?} after Postgres\n{}", self.server.log());
        }
        let grown = peak_bytes.max(end_bytes).saturating_sub(self.warm_bytes);
        assert!(grown <= MEMORY_BYTES, "{grown} bytes more than before the fault");

        drop(self.server);
        balance(&self.url, &exchanges, &settled);
        let answers: Vec<&Exchange> =
            exchanges.iter().chain(&settled).filter(|e| matches!(e.status, Some(200 | 422))).collect();
        verified(&self.url, &answers);
    }

    /// Waits until a second has passed without a refusal, readiness included, but not for ever.
    async fn recovery(&self, healed: Instant) -> Recovery {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let exchanges = self.load.so_far();
            let since = |at: Instant| at.saturating_duration_since(healed);
            let answered = exchanges.iter().filter(|e| e.status == Some(200) && e.begun > healed);
            let first_answer = answered.map(|e| since(e.ended())).min();
            let refused = exchanges.iter().filter(|e| e.status != Some(200) && e.status != Some(422));
            let last_refusal = refused.map(|e| since(e.begun)).max().unwrap_or_default();
            let looks = self.probes.so_far();
            let unready = looks.iter().rposition(|look| !look.is_ready());
            let ready = looks.get(unready.map_or(0, |last| last + 1)).map(|look| since(look.ended()));
            let quiet = since(Instant::now()) > last_refusal.max(first_answer.unwrap_or_default()) + PAUSE;
            match (first_answer, ready) {
                (Some(first_answer), Some(ready)) if quiet => {
                    return Recovery { first_answer, last_refusal, ready };
                }
                _ => assert!(
                    healed.elapsed() < Duration::from_secs(40),
                    "{}: it does not recover: first answer {first_answer:?}, last refusal {last_refusal:?}, ready {ready:?}\n{}",
                    self.name,
                    self.server.log()
                ),
            }
        }
    }
}

/// So long without a refusal, and it has recovered.
const PAUSE: Duration = Duration::from_millis(1500);

/// Nobody was told anything but an answer, that there are too many, or that there is no log now.
pub(crate) fn bounded(exchanges: &[Exchange]) {
    let strange: Vec<&Exchange> = exchanges
        .iter()
        .filter(|e| match e.status {
            Some(200 | 422 | 504) => e.id().is_none(),
            Some(429) => false,
            Some(503) => e.code() != "audit_unavailable",
            _ => true,
        })
        .take(3)
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
}

/// It lived all the time, and said at last what was wrong.
fn watched(looks: &[Look], told: &[&Look]) {
    let slow = |look: &&Look| look.alive_after.is_none_or(|after| after > Duration::from_secs(2));
    assert!(!looks.iter().any(|look| slow(&look)), "{:?}", looks.iter().find(slow));
    let silent = looks.iter().find(|look| look.told_after.is_none_or(|after| after > Duration::from_secs(4)));
    assert!(silent.is_none(), "/readyz: {silent:?}");
    let causes: Vec<_> = told.iter().flat_map(|look| &look.failed).collect();
    assert!(causes.iter().any(|cause| cause["check"] == "database"), "/readyz never told: {causes:?}");
}
