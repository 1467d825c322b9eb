//! The line to Postgres breaks.

use crate::trial::{Expected, Trial};
use crate::{HOST, seconds};
use std::time::Duration;
use system_tests::postgres::shared;
use system_tests::proxy::Proxy;
use system_tests::server::Options;

/// With the default time-outs: a place in the pool within 2 s, a statement within 5.5 s.
const WAITS: Duration = Duration::from_secs(9);

async fn begin(name: &'static str) -> (Proxy, Trial) {
    let (proxy, url) = (Proxy::to(shared()).await, shared().database());
    let trial = Trial::start(name, &url, Options::on(&proxy.url(&url))).await;
    (proxy, trial)
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_refuses_connections() {
    let _host = HOST.read().await;
    let (proxy, mut trial) = begin("refused").await;
    proxy.refuse().await;
    trial.endure(seconds(12, 60)).await;
    proxy.listen().await;
    trial.recovers(&Expected { refused_within: Duration::from_secs(4), nothing_answered: true }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_stalls_and_goes_on() {
    let _host = HOST.read().await;
    let (proxy, mut trial) = begin("stalled").await;
    proxy.stall();
    trial.endure(seconds(9, 60)).await;
    proxy.pass();
    trial.recovers(&Expected { refused_within: WAITS, nothing_answered: true }).await;
}

/// As when a host is taken over by another: what was connected gets neither answer nor end.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_stalls_and_old_connections_never_speak_again() {
    let _host = HOST.read().await;
    let (proxy, mut trial) = begin("partitioned").await;
    proxy.stall();
    trial.endure(seconds(9, 60)).await;
    proxy.pass_new_ones();
    trial.recovers(&Expected { refused_within: WAITS, nothing_answered: true }).await;
}

/// Nobody but the probes asks, so that nothing but the service itself can bring it back.
#[tokio::test(flavor = "multi_thread")]
async fn old_connections_never_speak_again_while_nobody_asks() {
    let _host = HOST.read().await;
    let (proxy, mut trial) = begin("partitioned, idle").await;
    proxy.stall();
    trial.endure_idle(seconds(9, 60)).await;
    proxy.pass_new_ones();
    trial.recovers(&Expected { refused_within: WAITS, nothing_answered: true }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_cut_and_nobody_knows_whether_they_were() {
    let _host = HOST.read().await;
    let (proxy, mut trial) = begin("cut mid-commit").await;
    proxy.cut_commits();
    trial.endure(seconds(4, 20)).await;
    proxy.pass();
    let (lost, unconfirmed) = proxy.cut_commits_so_far();
    println!("cut mid-commit: {lost} before Postgres had them, {unconfirmed} before their answer came back");
    assert!(lost > 0 && unconfirmed > 0);
    trial.recovers(&Expected { refused_within: Duration::from_secs(4), nothing_answered: true }).await;
}
