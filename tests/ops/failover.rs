//! A primary and its standby in one URL: the service writes to the current primary.

use serde_json::Value;
use std::time::Instant;
use system_tests::images;
use system_tests::postgres::{Cluster, name, psql};
use system_tests::server::{Options, problem};

fn hosts(clusters: &[&Cluster], database: &str) -> String {
    let hosts: Vec<String> =
        clusters.iter().map(|cluster| cluster.socket().parent().unwrap().display().to_string()).collect();
    format!("postgres://cxr@localhost/{database}?host={}", hosts.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_found_among_several_hosts_and_the_new_one_after_a_failover() {
    let primary = Cluster::start();
    let url = primary.database();
    let standby = primary.standby();
    // The standby is named first: a client that takes the first host that answers cannot write.
    let both = hosts(&[&standby, &primary], name(&url));
    let options = Options::on(&both).set("database.acquire_timeout_ms", &1000);
    let server = options.set("audit.sequence.interval_ms", &50).start_ready().await;
    for seed in 0..5 {
        assert_eq!(server.post("", images::jpeg(seed, true)).await.status(), 200);
    }
    standby.catch_up_with(&primary);

    primary.crash();
    problem(server.post("", images::jpeg(1, true)).await, 503, "audit_unavailable").await;
    // Readiness is cached for half a second.
    server.wait_ready(false).await;
    let answer = server.client.get(format!("{}/readyz", server.base)).send().await.unwrap();
    let detail = problem(answer, 503, "not_ready").await["detail"].to_string();
    assert!(detail.contains("none is read-write"), "{detail}");

    standby.promote();
    let begun = Instant::now();
    server.wait_ready(true).await;
    println!("ready {} ms after the promotion", begun.elapsed().as_millis());
    let answer: Value = server.post("", images::jpeg(7, true)).await.json().await.unwrap();
    let promoted = standby.url(name(&url));
    let found = format!("select count(*) from predictions where id = '{}'", answer["id"].as_str().unwrap());
    assert_eq!(psql(&promoted, &found).unwrap(), "1");
    let grown = async || psql(&promoted, "select count(*) from audit_leaves").unwrap() == "6";
    server.eventually(20, "the tree does not grow", grown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auditors_read_from_the_standby_that_they_ask_for() {
    let primary = Cluster::start();
    let url = primary.database();
    let standby = primary.standby();
    let readers = format!("{}&target_session_attrs=read-only", hosts(&[&primary, &standby], name(&url)));
    let server = Options::on(&url).set("database.reader_url", &readers).start_ready().await;
    let answer: Value = server.post("", images::jpeg(1, true)).await.json().await.unwrap();
    standby.catch_up_with(&primary);
    // Only the standby has a session of the reader.
    let path = format!("/v1/predictions/{}", answer["id"].as_str().unwrap());
    assert_eq!(server.get(&path, "audit:read").await.status(), 200);
    let sessions = "select count(*) > 0 from pg_stat_activity where application_name = 'cxr-service'";
    assert_eq!(standby.psql(name(&url), sessions), "t");
}
