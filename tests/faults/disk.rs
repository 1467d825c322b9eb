//! The disk of Postgres is full: for tables, so that statements fail, and for the WAL, so that Postgres
//! stops.

use crate::scenario::{Expected, Scenario};
use crate::{HOST, seconds};
use std::path::PathBuf;
use std::time::Duration;
use system_tests::postgres::{Cluster, psql};
use system_tests::preload;
use system_tests::server::Options;

/// A cluster for which, while the returned file exists, no file whose path contains `below` can grow.
fn cluster(below: &str) -> (tempfile::TempDir, Cluster, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let library = preload::build("tests/faults/disk_full.c", folder.path());
    let full = folder.path().join("full");
    let environment = [
        ("LD_PRELOAD", library.display().to_string()),
        ("CXR_DISK_FULL", full.display().to_string()),
        ("CXR_DISK_FULL_FOR", below.to_owned()),
    ];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    (folder, Cluster::durable(&environment), full)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_table_can_grow() {
    let _host = HOST.read().await;
    let (_folder, cluster, full) = cluster("/base/");
    let url = cluster.database();
    let mut scenario = Scenario::start("disk full", &url, Options::on(&url)).await;
    std::fs::write(&full, "").unwrap();
    scenario.hold(seconds(4, 20)).await;
    std::fs::remove_file(&full).unwrap();
    // Rows that still fit into existing pages are answered.
    scenario
        .check_recovery(&Expected { refused_within: Duration::from_secs(4), nothing_answered: false })
        .await;
}

/// Postgres stops when it cannot write its WAL, and does not start until there is space.
#[tokio::test(flavor = "multi_thread")]
async fn the_wal_cannot_grow() {
    let _host = HOST.read().await;
    let (_folder, cluster, full) = cluster("/");
    let url = cluster.database();
    let mut scenario = Scenario::start("disk full for the WAL", &url, Options::on(&url)).await;
    std::fs::write(&full, "").unwrap();
    while psql(&url, "select pg_switch_wal()").is_ok() {
        scenario.hold(Duration::from_millis(100)).await;
    }
    scenario.hold(seconds(3, 20)).await;
    std::fs::remove_file(&full).unwrap();
    cluster.restart_forcibly();
    scenario
        .check_recovery(&Expected { refused_within: Duration::from_secs(4), nothing_answered: false })
        .await;
}
