//! Faults of the network between the service and Postgres.

use crate::scenario::{Expected, Scenario};
use crate::{HOST, seconds};
use std::time::Duration;
use system_tests::postgres::shared;
use system_tests::proxy::Proxy;
use system_tests::server::Options;

/// The longest wait with the default timeouts: 2 s for a connection of the pool, 5.5 s for a statement.
const TIMEOUTS: Duration = Duration::from_secs(9);

async fn begin(name: &'static str) -> (Proxy, Scenario) {
    let (proxy, url) = (Proxy::to(shared()).await, shared().database());
    let scenario = Scenario::start(name, &url, Options::on(&proxy.url(&url))).await;
    (proxy, scenario)
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_refuses_connections() {
    let _host = HOST.read().await;
    let (proxy, mut scenario) = begin("refused").await;
    proxy.refuse().await;
    scenario.hold(seconds(12, 60)).await;
    proxy.listen().await;
    scenario
        .check_recovery(&Expected { refused_within: Duration::from_secs(4), nothing_answered: true })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_stalls_and_resumes() {
    let _host = HOST.read().await;
    let (proxy, mut scenario) = begin("stalled").await;
    proxy.stall();
    scenario.hold(seconds(9, 60)).await;
    proxy.pass();
    scenario.check_recovery(&Expected { refused_within: TIMEOUTS, nothing_answered: true }).await;
}

/// As after a failover to another host: existing connections get neither an answer nor an end.
#[tokio::test(flavor = "multi_thread")]
async fn old_connections_stay_silent_after_a_stall() {
    let _host = HOST.read().await;
    let (proxy, mut scenario) = begin("partitioned").await;
    proxy.stall();
    scenario.hold(seconds(9, 60)).await;
    proxy.pass_new_connections();
    scenario.check_recovery(&Expected { refused_within: TIMEOUTS, nothing_answered: true }).await;
}

/// Only probes send requests, so the service must recover without predictions.
#[tokio::test(flavor = "multi_thread")]
async fn old_connections_stay_silent_without_requests() {
    let _host = HOST.read().await;
    let (proxy, mut scenario) = begin("partitioned, idle").await;
    proxy.stall();
    scenario.hold_idle(seconds(9, 60)).await;
    proxy.pass_new_connections();
    scenario.check_recovery(&Expected { refused_within: TIMEOUTS, nothing_answered: true }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_cut_during_commits() {
    let _host = HOST.read().await;
    let (proxy, mut scenario) = begin("cut mid-commit").await;
    proxy.cut_commits();
    scenario.hold(seconds(4, 20)).await;
    proxy.pass();
    let (lost, unconfirmed) = proxy.n_cut_commits();
    println!("cut mid-commit: {lost} commits before Postgres received them, {unconfirmed} before its answer");
    assert!(lost > 0 && unconfirmed > 0);
    scenario
        .check_recovery(&Expected { refused_within: Duration::from_secs(4), nothing_answered: true })
        .await;
}
