//! What the tests do with a log: fill it, export it, verify it.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use system_tests::postgres;
use system_tests::server::{Server, binary};

/// Public half of the key in config/development.yaml.
pub(crate) const PUBLIC_KEY: &str =
    "development.cxr.invalid/log+a49e0ad1+AYCkUga2cKxdYXVXwGKW+TRQ+ZR5p6J0Ic4z4Sf0f1Fa";

pub(crate) fn number(url: &str, query: &str) -> u64 {
    postgres::psql(url, query).unwrap().parse().unwrap()
}

/// Waits until every row has its place.
pub(crate) async fn sequenced(url: &str, n: u64) {
    let begun = Instant::now();
    while number(url, "select count(*) from audit_leaves") < n {
        assert!(begun.elapsed() < Duration::from_secs(30), "the rows get no places");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the anchor has a checkpoint of that size.
pub(crate) async fn anchored(folder: &Path, size: u64) {
    let begun = Instant::now();
    while !folder.join(format!("{size:020}.checkpoint")).exists() {
        assert!(begun.elapsed() < Duration::from_secs(30), "no checkpoint of {size} leaves");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One answer of the audit API.
pub(crate) async fn ask(server: &Server, path: &str) -> Value {
    let answer = server.get(path, "audit:read").await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

pub(crate) fn export(url: &str, folder: &Path) -> PathBuf {
    let path = folder.join("log.ndjson");
    let mut command = Command::new(binary());
    command.args(["audit", "export", "--out"]).arg(&path);
    command.env("CXR_PROFILE", "development").env("CXR_SERVICE__DATABASE__URL", url);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    path
}

/// The verifier's exit status and report.
pub(crate) fn verify(export: &Path, arguments: &[&std::ffi::OsStr]) -> (i32, Value) {
    let done = run_verifier(export, arguments);
    let report = serde_json::from_slice(&done.stdout).unwrap_or_default();
    (done.status.code().unwrap(), report)
}

pub(crate) fn run_verifier(export: &Path, arguments: &[&std::ffi::OsStr]) -> Output {
    let mut command = Command::new(binary());
    command.args(["audit", "verify", "--json", "--public-key", PUBLIC_KEY, "--export"]).arg(export);
    command.args(arguments).env_clear().output().unwrap()
}
