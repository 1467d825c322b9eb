//! A private Postgres on a Unix socket, started by `scripts/private-postgres.sh`.

use crate::guard::Guard;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A running cluster. It is stopped and deleted when dropped, or when this process ends.
#[derive(Debug)]
pub struct Postgres {
    directory: PathBuf,
    _guard: Guard,
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Options<'a> {
    /// Without fsync: its data do not survive a crash of the host.
    pub fast: bool,
    pub environment: &'a [(&'a str, &'a str)],
    /// How long the start may take. Default: a minute.
    pub limit: Option<Duration>,
}

impl Postgres {
    /// Starts a new cluster in `directory`, a short path; `root` is the root of the repository.
    pub fn start(root: &Path, directory: &Path, options: Options) -> Result<Self> {
        // Created first, so that its guard also cleans up after a failed start.
        let postgres = Self::adopt(root, directory)?;
        let limit = options.limit.unwrap_or(Duration::from_mins(1)).as_secs().max(1);
        let mut command = Command::new("timeout");
        command
            .args(["--foreground", "--kill-after=5", &limit.to_string()])
            .arg(script(root))
            .arg("start")
            .arg(directory)
            .args(options.fast.then_some("--fast"))
            .envs(options.environment.iter().copied())
            .env_remove("LD_LIBRARY_PATH");
        output(&mut command, "scripts/private-postgres.sh start")?;
        Ok(postgres)
    }

    /// Takes over a running cluster, to stop and delete it.
    pub fn adopt(root: &Path, directory: &Path) -> Result<Self> {
        let script = script(root);
        ensure!(script.exists(), "{}: run this in the root of the repository", script.display());
        let guard = Guard::new("exec \"$0\" stop \"$1\"", &[script.as_os_str(), directory.as_os_str()])?;
        Ok(Self { directory: directory.to_owned(), _guard: guard })
    }

    /// The folder that holds the socket, and the data in `data`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The connection URL of a database, as the superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://cxr@localhost/{database}?host={}", self.directory.display())
    }

    pub fn create(&self, database: &str) -> Result<String> {
        self.psql("postgres", &format!("create database {database}"))?;
        Ok(self.url(database))
    }

    /// [`psql`] on a database of this cluster.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        psql(&self.url(database), sql)
    }

    pub fn id(&self) -> Result<u32> {
        let path = self.directory.join("data/postmaster.pid");
        let name = path.display();
        let text = std::fs::read_to_string(&path).with_context(|| format!("{name}: cannot be read"))?;
        text.lines().next().unwrap_or_default().parse().with_context(|| format!("{name}: no process id"))
    }
}

/// The folder of the Postgres programs (`initdb`, `pg_ctl`, ...) that clusters are started with.
pub fn programs(root: &Path) -> Result<PathBuf> {
    let mut find = Command::new(script(root));
    output(find.arg("find"), "scripts/private-postgres.sh find").map(PathBuf::from)
}

pub fn psql(url: &str, sql: &str) -> Result<String> {
    let mut psql = Command::new("psql");
    output(psql.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]), "psql")
}

fn script(root: &Path) -> PathBuf {
    root.join("scripts/private-postgres.sh")
}

fn output(command: &mut Command, name: &str) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{name}: cannot be started"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
