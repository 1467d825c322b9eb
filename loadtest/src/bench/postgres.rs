//! A private Postgres that keeps its promises: fsync and synchronous commit are on, and checked.

use super::process::Guard;
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A running cluster. It ends when it is dropped, or with this process.
#[derive(Debug)]
pub(super) struct Postgres {
    url: String,
    directory: PathBuf,
    _guard: Guard,
}

impl Postgres {
    /// Starts one through `scripts/private-postgres.sh`.
    ///
    /// # Errors
    /// What the script says; or that it does not flush what it commits.
    pub(super) fn start() -> Result<Self> {
        const SCRIPT: &str = "scripts/private-postgres.sh";
        let directory = PathBuf::from(format!("/tmp/cxr-bench-{}", std::process::id()));
        let name = directory.display().to_string();
        let guard = Guard::new("exec \"$0\" stop \"$1\"", &[SCRIPT, &name])?;
        let started = Command::new(SCRIPT).args(["start", &name]).output().with_context(|| {
            format!("{SCRIPT}: cannot be run; start the benchmark in the repository's root")
        })?;
        ensure!(started.status.success(), "{SCRIPT}: {}", String::from_utf8_lossy(&started.stderr));
        let url = String::from_utf8(started.stdout)?.trim().to_owned();
        let postgres = Self { url, directory, _guard: guard };
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            let value = postgres.psql("postgres", &format!("show {setting}"))?;
            ensure!(value == "on", "Postgres runs with {setting} {value}: it would not measure durable rows");
        }
        Ok(postgres)
    }

    /// Makes an empty database.
    pub(super) fn create(&self, database: &str) -> Result<()> {
        self.psql("postgres", &format!("create database {database}")).map(drop)
    }

    /// The connection URL of a database.
    pub(super) fn url(&self, database: &str) -> String {
        self.url.replace("/postgres?", &format!("/{database}?"))
    }

    /// The same for asyncpg, which takes a socket's folder only where no host is named.
    pub(super) fn url_without_host(&self, database: &str) -> String {
        self.url(database).replace("@localhost/", "@/")
    }

    /// The postmaster's process id.
    pub(super) fn id(&self) -> Result<u32> {
        let path = self.directory.join("data/postmaster.pid");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let line = text.lines().next().unwrap_or_default();
        line.parse().with_context(|| format!("{}: no process id", path.display()))
    }

    /// Runs statements and returns what psql prints without decoration.
    pub(super) fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let output = Command::new("psql")
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.url(database), "-c", sql])
            .stdin(Stdio::null())
            .output()
            .context("psql cannot be run")?;
        ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Milliseconds of `n` commits, each of one row of a kilobyte, as a client on the same socket sees them.
    pub(super) fn commit_ms(&self, n: usize) -> Result<Vec<f64>> {
        self.psql(
            "postgres",
            "create table if not exists commit_probe (id bigserial primary key, body text)",
        )?;
        let mut script = String::from("\\timing on\n");
        for _ in 0..n {
            // Writing to a String cannot fail.
            let _ = writeln!(script, "insert into commit_probe (body) values (repeat('x', 1000));");
        }
        let path = self.directory.with_extension("sql");
        std::fs::write(&path, script)?;
        let output = Command::new("psql")
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.url("postgres"), "-f"])
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
}
