//! Postgres down, stalled and back: there is never an answer without a row.

use std::time::{Duration, Instant};
use system_tests::images;
use system_tests::postgres::{Cluster, psql};
use system_tests::server::{Options, problem};

#[tokio::test]
async fn without_postgres_nothing_is_answered_and_the_service_recovers_with_it() {
    let cluster = Cluster::start();
    let url = cluster.database();
    let server = Options::on(&url).set("database.acquire_timeout_ms", &500).start_ready().await;
    assert!(server.post("", images::jpeg(1, true)).await.status().is_success());

    cluster.stop();
    server.wait_ready(false).await;
    let start = Instant::now();
    let refused = server.post("", images::jpeg(1, true)).await;
    assert!(refused.headers().contains_key("retry-after"));
    problem(refused, 503, "audit_unavailable").await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    // The same for a rejection: without its row, it is not answered.
    problem(server.post("", images::blank()).await, 503, "audit_unavailable").await;
    let alive = server.client.get(format!("{}/livez", server.base)).send().await.unwrap();
    assert!(alive.status().is_success());

    cluster.restart();
    server.wait_ready(true).await;
    assert!(server.post("", images::jpeg(1, true)).await.status().is_success());
    assert_eq!(psql(&url, "select count(*) from predictions").unwrap(), "2");
}

#[tokio::test]
async fn a_stalled_postgres_costs_a_bounded_time() {
    let cluster = Cluster::start();
    let server = Options::on(&cluster.database())
        .set("database.acquire_timeout_ms", &500)
        .set("database.statement_timeout_ms", &1000)
        .start_ready()
        .await;
    cluster.signal("STOP");
    let start = Instant::now();
    problem(server.post("", images::jpeg(1, true)).await, 503, "audit_unavailable").await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    server.wait_ready(false).await;
    cluster.signal("CONT");
    server.wait_ready(true).await;
    assert!(server.post("", images::jpeg(1, true)).await.status().is_success());
}

#[tokio::test]
async fn a_start_without_postgres_waits_for_it() {
    let cluster = Cluster::start();
    let url = cluster.database();
    cluster.stop();
    let server = Options::on(&url).set("database.acquire_timeout_ms", &500).start().await;
    server.wait_ready(false).await;
    cluster.restart();
    server.wait_ready(true).await;
}

#[tokio::test]
async fn an_empty_database_is_not_ready_and_says_what_to_do() {
    let cluster = Cluster::start();
    cluster.psql("postgres", "create database empty");
    let server = Options::on(&cluster.url("empty")).start().await;
    let response = server.client.get(format!("{}/readyz", server.base)).send().await.unwrap();
    let body = problem(response, 503, "not_ready").await;
    assert!(body["detail"].as_str().unwrap().contains("cxr-service migrate"), "{body}");
}
