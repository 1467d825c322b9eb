//! The disk under Postgres is full: first for tables, which costs statements; then for its log, which costs Postgres itself.

use crate::trial::{Expected, Trial};
use crate::{HOST, seconds};
use std::path::PathBuf;
use std::time::Duration;
use system_tests::postgres::{Cluster, psql};
use system_tests::preload;
use system_tests::server::Options;

/// A cluster whose disk is full, for files below a folder of its own, while a file exists.
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
    let mut trial = Trial::start("disk full", &url, Options::on(&url)).await;
    std::fs::write(&full, "").unwrap();
    trial.endure(seconds(4, 20)).await;
    std::fs::remove_file(&full).unwrap();
    // What still fitted into the pages that there are was answered, rightly.
    trial.recovers(&Expected { refused_within: Duration::from_secs(4), nothing_answered: false }).await;
}

/// Postgres ends when it cannot write its log, and does not start until there is room.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_postgres_cannot_grow() {
    let _host = HOST.read().await;
    let (_folder, cluster, full) = cluster("/");
    let url = cluster.database();
    let mut trial = Trial::start("disk full for its log", &url, Options::on(&url)).await;
    std::fs::write(&full, "").unwrap();
    while psql(&url, "select pg_switch_wal()").is_ok() {
        trial.endure(Duration::from_millis(100)).await;
    }
    trial.endure(seconds(3, 20)).await;
    std::fs::remove_file(&full).unwrap();
    cluster.restart_whatever_runs();
    trial.recovers(&Expected { refused_within: Duration::from_secs(4), nothing_answered: false }).await;
}
