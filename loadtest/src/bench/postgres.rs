//! The Postgres of the benchmark, which must flush what it commits.

use anyhow::{Context, Result, ensure};
use rig::Postgres;
use rig::postgres::Options;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Starts a cluster and checks that its commits are durable.
pub(super) fn start() -> Result<Postgres> {
    let directory = PathBuf::from(format!("/tmp/cxr-bench-{}", std::process::id()));
    let postgres = Postgres::start(Path::new("."), &directory, Options::default())?;
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value = postgres.psql("postgres", &format!("show {setting}"))?;
        ensure!(value == "on", "Postgres runs with {setting} {value}, so rows would not be durable");
    }
    Ok(postgres)
}

/// Milliseconds of `n` commits of one row of 1 kB each, as a client on the same socket measures them.
pub(super) fn commit_ms(postgres: &Postgres, n: usize) -> Result<Vec<f64>> {
    postgres
        .psql("postgres", "create table if not exists commit_probe (id bigserial primary key, body text)")?;
    let mut script = String::from("\\timing on\n");
    for _ in 0..n {
        // Writing to a String cannot fail.
        let _ = writeln!(script, "insert into commit_probe (body) values (repeat('x', 1000));");
    }
    let path = postgres.directory().with_extension("sql");
    std::fs::write(&path, script)?;
    let output = Command::new("psql")
        .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", &postgres.url("postgres"), "-f"])
        .arg(&path)
        .output()
        .context("psql cannot be run")?;
    std::fs::remove_file(&path)?;
    ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let time = |line: &str| line.strip_prefix("Time: ")?.split(' ').next()?.parse::<f64>().ok();
    let times: Vec<f64> = text.lines().filter_map(time).collect();
    ensure!(times.len() == n, "psql timed {} of {n} commits", times.len());
    Ok(times)
}
