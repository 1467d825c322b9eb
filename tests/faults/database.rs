//! Faults of Postgres itself: a crash and restart, read-only mode, locked tables.

use crate::scenario::{Expected, Scenario};
use crate::{HOST, seconds};
use std::time::Duration;
use system_tests::postgres::{Cluster, name, psql, shared};
use system_tests::server::Options;

#[tokio::test(flavor = "multi_thread")]
async fn postgres_crashes_and_starts_again() {
    let _host = HOST.read().await;
    // The cluster is durable, but the database turns `synchronous_commit` off: the service must turn it on
    // itself.
    let cluster = Cluster::durable(&[]);
    let url = cluster.database();
    cluster.psql("postgres", &format!("alter database {} set synchronous_commit = off", name(&url)));
    let mut scenario = Scenario::start("restarted", &url, Options::on(&url)).await;
    cluster.crash();
    scenario.hold(seconds(3, 60)).await;
    cluster.restart();
    scenario
        .check_recovery(&Expected { refused_within: Duration::from_secs(4), nothing_answered: true })
        .await;
}

/// Sessions from the read-only time stay read-only: a pool that kept them would not recover.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_read_only() {
    let _host = HOST.read().await;
    let url = shared().database();
    let mut scenario = Scenario::start("read-only", &url, Options::on(&url)).await;
    let database = name(&url);
    let set = |value| {
        let sql = format!("alter database {database} set default_transaction_read_only = {value}");
        shared().psql("postgres", &sql);
    };
    set("on");
    let end = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'");
    shared().psql("postgres", &end);
    scenario.hold(seconds(4, 20)).await;
    set("off");
    scenario
        .check_recovery(&Expected { refused_within: Duration::from_secs(4), nothing_answered: true })
        .await;
}

/// Every connection of the pool blocks in a statement.
#[tokio::test(flavor = "multi_thread")]
async fn the_pool_is_exhausted() {
    let _host = HOST.read().await;
    let url = shared().database();
    let mut scenario = Scenario::start("pool exhausted", &url, Options::on(&url)).await;
    let held = seconds(8, 30);
    let locks = format!(
        "begin; lock table predictions, audit_pending in exclusive mode; select pg_sleep({}); commit",
        held.as_secs_f64()
    );
    let locker = tokio::task::spawn_blocking({
        let url = url.clone();
        move || psql(&url, &locks)
    });
    scenario.hold(held.saturating_sub(Duration::from_millis(500))).await;
    locker.await.unwrap().unwrap();
    scenario
        .check_recovery(&Expected { refused_within: Duration::from_secs(9), nothing_answered: true })
        .await;
}
