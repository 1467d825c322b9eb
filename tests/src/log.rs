//! What tests do with a log from outside: count, wait, export, verify.

use crate::postgres;
use crate::server::{Server, binary};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Public half of the key in config/development.yaml.
pub const PUBLIC_KEY: &str =
    "development.cxr.invalid/log+a49e0ad1+AYCkUga2cKxdYXVXwGKW+TRQ+ZR5p6J0Ic4z4Sf0f1Fa";

/// What a query counts.
pub fn number(url: &str, query: &str) -> u64 {
    postgres::psql(url, query).expect("an answer").parse().expect("a number")
}

/// Waits until every row has its place.
pub async fn sequenced(url: &str, n: u64) {
    let begun = Instant::now();
    while number(url, "select count(*) from audit_leaves") < n {
        assert!(begun.elapsed() < Duration::from_secs(30), "the rows get no places");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the anchor has a checkpoint of that size.
pub async fn anchored(folder: &Path, size: u64) {
    let begun = Instant::now();
    while !folder.join(format!("{size:020}.checkpoint")).exists() {
        assert!(begun.elapsed() < Duration::from_secs(30), "no checkpoint of {size} leaves");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One answer of the audit API.
pub async fn ask(server: &Server, path: &str) -> Value {
    let answer = server.get(path, "audit:read").await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.expect("JSON")
}

/// The log of a database, in a folder.
pub fn export(url: &str, folder: &Path) -> PathBuf {
    let path = folder.join("log.ndjson");
    let mut command = Command::new(binary());
    command.args(["audit", "export", "--out"]).arg(&path);
    command.env("CXR_PROFILE", "development").env("CXR_SERVICE__DATABASE__URL", url);
    let done = command.output().expect("cxr-service runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    path
}

/// The verifier's exit status and report.
pub fn verify(export: &Path, arguments: &[&std::ffi::OsStr]) -> (i32, Value) {
    let done = run_verifier(export, arguments);
    let report = serde_json::from_slice(&done.stdout).unwrap_or_default();
    (done.status.code().expect("no signal"), report)
}

/// What the verifier says, as a process.
pub fn run_verifier(export: &Path, arguments: &[&std::ffi::OsStr]) -> Output {
    let mut command = Command::new(binary());
    command.args(["audit", "verify", "--json", "--public-key", PUBLIC_KEY, "--export"]).arg(export);
    command.args(arguments).env_clear().output().expect("cxr-service runs")
}
