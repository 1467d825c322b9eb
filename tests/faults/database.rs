//! Postgres itself: crashed and started again, read-only, its tables locked.

use crate::trial::{Expected, Trial};
use crate::{HOST, seconds};
use std::time::Duration;
use system_tests::postgres::{Cluster, name, psql, shared};
use system_tests::server::Options;

#[tokio::test(flavor = "multi_thread")]
async fn postgres_crashes_and_starts_again() {
    let _host = HOST.read().await;
    // One that keeps what it has confirmed, to those who ask for that: whoever made the database asked for less.
    let cluster = Cluster::durable(&[]);
    let url = cluster.database();
    cluster.psql("postgres", &format!("alter database {} set synchronous_commit = off", name(&url)));
    let mut trial = Trial::start("restarted", &url, Options::on(&url)).await;
    cluster.crash();
    trial.endure(seconds(3, 60)).await;
    cluster.restart();
    trial.recovers(&Expected { refused_within: Duration::from_secs(4), nothing_answered: true }).await;
}

/// Sessions that began while it was read-only stay so: whoever keeps them does not recover.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_read_only() {
    let _host = HOST.read().await;
    let url = shared().database();
    let mut trial = Trial::start("read-only", &url, Options::on(&url)).await;
    let database = name(&url);
    let set = |value| {
        let sql = format!("alter database {database} set default_transaction_read_only = {value}");
        shared().psql("postgres", &sql);
    };
    set("on");
    let end = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'");
    shared().psql("postgres", &end);
    trial.endure(seconds(4, 20)).await;
    set("off");
    trial.recovers(&Expected { refused_within: Duration::from_secs(4), nothing_answered: true }).await;
}

/// Every connection of the pool hangs in a statement.
#[tokio::test(flavor = "multi_thread")]
async fn the_pool_is_exhausted() {
    let _host = HOST.read().await;
    let url = shared().database();
    let mut trial = Trial::start("pool exhausted", &url, Options::on(&url)).await;
    let held = seconds(8, 30);
    let locks = format!(
        "begin; lock table predictions, audit_pending in exclusive mode; select pg_sleep({}); commit",
        held.as_secs_f64()
    );
    let locker = tokio::task::spawn_blocking({
        let url = url.clone();
        move || psql(&url, &locks)
    });
    trial.endure(held.saturating_sub(Duration::from_millis(500))).await;
    locker.await.unwrap().unwrap();
    trial.recovers(&Expected { refused_within: Duration::from_secs(9), nothing_answered: true }).await;
}
