//! A fault scenario: a service under load, the fault, the recovery, the reconciliation.

use crate::load::{Exchange, Load};
use crate::probes::{Probes, Sample};
use crate::reconciliation::{assert_verifies, reconcile, sequenced};
use std::sync::Arc;
use std::time::{Duration, Instant};
use system_tests::server::{Options, Server};

/// Requests per second. Two slow cores manage three times as many while two such tests run.
const PER_SECOND: u32 = 25;
/// The longest time from the end of the fault to the first answer, readiness, and the last refusal.
const MAX_RECOVERY: Duration = Duration::from_secs(5);
/// The memory that a fault may cost: what the allocator keeps after a burst, but no growth.
const MEMORY_BYTES: u64 = 24 << 20;

/// The expected effect of a fault.
pub(crate) struct Expected {
    /// Longest wait for a refusal.
    pub(crate) refused_within: Duration,
    /// Whether no request that begins after the fault's first second is answered during the fault.
    pub(crate) nothing_answered: bool,
}

/// A service under load.
pub(crate) struct Scenario {
    name: &'static str,
    /// The database, without the proxy.
    url: String,
    server: Arc<Server>,
    load: Load,
    probes: Probes,
    warm_bytes: u64,
    /// When the fault began, and until when it lasted at least.
    fault: Option<(Instant, Instant)>,
}

/// Times from the end of the fault.
struct Recovery {
    first_answer: Duration,
    last_refusal: Duration,
    ready: Duration,
}

impl Scenario {
    /// Starts a service and warms it up with as many images in flight as it admits.
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

    /// Waits while the fault lasts.
    pub(crate) async fn hold(&mut self, time: Duration) {
        let begun = self.fault.map_or_else(Instant::now, |(begun, _)| begun);
        tokio::time::sleep(time).await;
        self.fault = Some((begun, Instant::now()));
    }

    /// Waits while the fault lasts: first with a burst that takes every connection, then without requests, as
    /// from a load balancer that sees the service unready.
    pub(crate) async fn hold_idle(&mut self, time: Duration) {
        self.load.pause(true);
        if self.fault.is_none() {
            self.load.begin_burst(30);
        }
        self.hold(time).await;
    }

    /// Call this when the fault has ended: waits until the service recovers, then checks everything.
    #[expect(clippy::print_stdout, reason = "figures of docs/AUDIT.md")]
    pub(crate) async fn check_recovery(self, expected: &Expected) {
        let healed = Instant::now();
        self.load.pause(false);
        let (fault, until) = self.fault.unwrap();
        let recovery = self.recovery(healed).await;
        let samples = self.probes.so_far();
        drop(self.probes);
        let (exchanges, settled) = self.load.settle().await;
        let sequenced_after = sequenced(&self.url).await;
        let end_bytes = self.server.memory_bytes();
        let during = |at: Instant| at >= fault && at < healed;

        let refused: Vec<&Exchange> = exchanges.iter().filter(|e| e.status == Some(503)).collect();
        let slowest = refused.iter().map(|e| e.took).max().unwrap_or_default();
        let peak_bytes = samples.iter().map(|sample| sample.memory_bytes).max().unwrap_or_default();
        let answered_probes: Vec<&Sample> =
            samples.iter().filter(|sample| during(sample.at) && sample.readyz_after.is_some()).collect();
        let slowest_probe =
            answered_probes.iter().filter_map(|sample| sample.readyz_after).max().unwrap_or_default();
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

        assert_documented_answers(&exchanges);
        assert!(refused.iter().filter(|e| during(e.ended())).count() >= 5, "the fault had no effect");
        assert!(slowest <= expected.refused_within, "{slowest:?}");
        if expected.nothing_answered {
            let from = fault + Duration::from_secs(1);
            let answered = exchanges
                .iter()
                .find(|e| matches!(e.status, Some(200 | 422)) && e.begun > from && e.ended() < until);
            assert!(answered.is_none(), "{answered:?}");
        }
        assert_probes(&samples, &answered_probes);
        for (what, time) in [
            ("the first answer", recovery.first_answer),
            ("the last refusal", recovery.last_refusal),
            ("readiness", recovery.ready),
        ] {
            assert!(
                time <= MAX_RECOVERY,
                "{what} came {time:?} after the end of the fault\n{}",
                self.server.log()
            );
        }
        let grown = peak_bytes.max(end_bytes).saturating_sub(self.warm_bytes);
        assert!(grown <= MEMORY_BYTES, "memory grew by {grown} bytes");

        drop(self.server);
        reconcile(&self.url, &exchanges, &settled);
        let answers: Vec<&Exchange> =
            exchanges.iter().chain(&settled).filter(|e| matches!(e.status, Some(200 | 422))).collect();
        assert_verifies(&self.url, &answers);
    }

    /// Waits until the service is ready and `QUIET` has passed without a refusal.
    async fn recovery(&self, healed: Instant) -> Recovery {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let exchanges = self.load.so_far();
            let since = |at: Instant| at.saturating_duration_since(healed);
            let answered = exchanges.iter().filter(|e| e.status == Some(200) && e.begun > healed);
            let first_answer = answered.map(|e| since(e.ended())).min();
            let refused = exchanges.iter().filter(|e| e.status != Some(200) && e.status != Some(422));
            let last_refusal = refused.map(|e| since(e.begun)).max().unwrap_or_default();
            let samples = self.probes.so_far();
            let unready = samples.iter().rposition(|sample| !sample.is_ready());
            let ready = samples.get(unready.map_or(0, |last| last + 1)).map(|sample| since(sample.ended()));
            let quiet = since(Instant::now()) > last_refusal.max(first_answer.unwrap_or_default()) + QUIET;
            match (first_answer, ready) {
                (Some(first_answer), Some(ready)) if quiet => {
                    return Recovery { first_answer, last_refusal, ready };
                }
                _ => assert!(
                    healed.elapsed() < Duration::from_secs(40),
                    "{}: the service does not recover: first answer {first_answer:?}, last refusal {last_refusal:?}, ready {ready:?}\n{}",
                    self.name,
                    self.server.log()
                ),
            }
        }
    }
}

/// A service without refusals for this time has recovered.
const QUIET: Duration = Duration::from_millis(1500);

/// Asserts that every answer is a result with a row, 429, or 503 `audit_unavailable`.
pub(crate) fn assert_documented_answers(exchanges: &[Exchange]) {
    let unexpected: Vec<&Exchange> = exchanges
        .iter()
        .filter(|e| match e.status {
            Some(200 | 422 | 504) => e.id().is_none(),
            Some(429) => false,
            Some(503) => e.code() != "audit_unavailable",
            _ => true,
        })
        .take(3)
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

/// Asserts that `/livez` always answered in time, and that `/readyz` named the database.
fn assert_probes(samples: &[Sample], answered_probes: &[&Sample]) {
    let slow = |sample: &&Sample| sample.livez_after.is_none_or(|after| after > Duration::from_secs(2));
    assert!(!samples.iter().any(|sample| slow(&sample)), "{:?}", samples.iter().find(slow));
    let silent =
        samples.iter().find(|sample| sample.readyz_after.is_none_or(|after| after > Duration::from_secs(4)));
    assert!(silent.is_none(), "/readyz: {silent:?}");
    let causes: Vec<_> = answered_probes.iter().flat_map(|sample| &sample.failed).collect();
    assert!(
        causes.iter().any(|cause| cause["check"] == "database"),
        "/readyz never named the database: {causes:?}"
    );
}
