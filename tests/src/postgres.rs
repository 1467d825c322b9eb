//! Postgres clusters for tests: migrated databases, users with the roles of the log, stops, crashes and
//! restarts.

use crate::root;
use crate::server;
use rig::postgres::{Options, Postgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A cluster. It ends when it is dropped, or with this process.
pub struct Cluster {
    postgres: Postgres,
    environment: Vec<(String, String)>,
}

impl Cluster {
    /// Starts a cluster of its own, for a test that stops Postgres.
    pub fn start() -> Self {
        Self::start_with(true, &[])
    }

    /// Starts a cluster with fsync on and variables in its environment.
    pub fn durable(environment: &[(&str, &str)]) -> Self {
        Self::start_with(false, environment)
    }

    fn start_with(fast: bool, environment: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = PathBuf::from(format!("/tmp/cxr-test-{}-{number}", std::process::id()));
        let options = Options { fast, environment, limit: None };
        let postgres =
            Postgres::start(&root(), &directory, options).unwrap_or_else(|error| panic!("{error:#}"));
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { postgres, environment }
    }

    /// Takes over a cluster that already has its data in a folder.
    pub(crate) fn adopt(directory: &Path) -> Self {
        let postgres = Postgres::adopt(&root(), directory).unwrap_or_else(|error| panic!("{error:#}"));
        Self { postgres, environment: Vec::new() }
    }

    /// The folder that holds the socket, and the data in `data`.
    pub(crate) fn directory(&self) -> &Path {
        self.postgres.directory()
    }

    /// Creates a folder that Postgres can write to.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.directory().join(name);
        let made = as_postgres(Path::new("mkdir")).arg("-p").arg(&folder).current_dir("/tmp").status();
        assert!(made.expect("mkdir runs").success());
        folder
    }

    /// The server's log, which includes failed logins.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory().join("data/log")).expect("the server's log")
    }

    /// Requires a password from every user but the superuser.
    pub fn require_passwords(&self) {
        let rules = "local all cxr trust\nlocal replication cxr trust\nlocal all all scram-sha-256\n";
        std::fs::write(self.directory().join("data/pg_hba.conf"), rules).expect("the cluster's rules");
        self.psql("postgres", "select pg_reload_conf()");
    }

    /// The path of its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory().join(".s.PGSQL.5432")
    }

    /// The connection URL of a database, as the superuser.
    pub fn url(&self, database: &str) -> String {
        self.postgres.url(database)
    }

    /// A new database with every migration applied.
    pub fn database(&self) -> String {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("create database {name} template {}", self.template()));
        self.url(&name)
    }

    /// Copies a database that has no connections.
    pub fn copy(&self, database: &str) -> String {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("copy_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("create database {name} template {database}"));
        name
    }

    fn template(&self) -> &'static str {
        const NAME: &str = "migrated";
        static MADE: OnceLock<std::sync::Mutex<Vec<PathBuf>>> = OnceLock::new();
        let mut made = MADE.get_or_init(Default::default).lock().expect("no test panics here");
        if !made.iter().any(|directory| directory == self.directory()) {
            self.psql("postgres", &format!("create database {NAME}"));
            let migrated = server::Options::on(&self.url(NAME)).command_line(&["migrate"]).run_to_end();
            assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
            made.push(self.directory().to_owned());
        }
        NAME
    }

    /// Runs one statement and returns what psql prints without decoration.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        psql(&self.url(database), sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Sends the postmaster and its children a signal: STOP and CONT stall the cluster.
    pub fn signal(&self, signal: &str) {
        let pid = self.postgres.id().expect("a running cluster").to_string();
        let children = Command::new("pgrep").args(["-P", &pid]).output().expect("pgrep runs");
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        for pid in std::iter::once(pid.as_str()).chain(children.lines()) {
            let _ = Command::new("kill").args([&format!("-{signal}"), pid]).status();
        }
    }

    /// Stops Postgres but keeps its data.
    pub fn stop(&self) {
        self.control(&["-m", "fast", "stop"]);
    }

    /// Stops it as a crash would: its next start recovers.
    pub fn crash(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    /// Starts it again after [`stop`](Self::stop) or [`crash`](Self::crash).
    pub fn restart(&self) {
        let log = self.directory().join("data/log");
        let options = format!(
            "-c listen_addresses='' -k {} -c max_connections=300 -c fsync=off",
            self.directory().display()
        );
        self.control(&["-l", &log.to_string_lossy(), "-o", &options, "start"]);
    }

    /// Starts it again, whether or not it still runs.
    pub fn restart_forcibly(&self) {
        if self.postgres.id().is_ok_and(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            self.crash();
        }
        self.restart();
    }

    pub(crate) fn control(&self, arguments: &[&str]) {
        let mut command = as_postgres(&program("pg_ctl"));
        let data = self.directory().join("data");
        command.current_dir("/tmp").envs(self.environment.iter().cloned());
        let done = command.arg("-D").arg(data).arg("-w").args(arguments).output();
        assert!(done.expect("pg_ctl runs").status.success());
    }
}

/// The cluster that the tests of this process share.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start)
}

/// The URL of a database of [`shared`] for a user with exactly one of the roles `cxr_*`.
pub fn as_user(url: &str, role: &str) -> String {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        for role in ["writer", "auditor", "monitor", "backup"] {
            psql(url, &format!("create role test_{role} login in role cxr_{role}"))
                .expect("a migrated database");
        }
    });
    let (before, after) = url.split_once("://").expect("a URL");
    let after = after.split_once('@').map_or(after, |(_, after)| after);
    format!("{before}://test_{role}@{after}")
}

/// The name of the database in a URL of [`Cluster::url`].
pub fn name(url: &str) -> &str {
    let (_, rest) = url.split_once("localhost/").expect("a URL of a private cluster");
    rest.split_once('?').expect("a URL with a socket").0
}

/// Runs SQL with psql; the error is psql's message.
pub fn psql(url: &str, sql: &str) -> Result<String, String> {
    rig::postgres::psql(url, sql).map_err(|error| format!("{error:#}"))
}

/// A connection for many statements: psql takes longer to start than most of them take to run.
pub struct Session(PgConnection);

impl Session {
    /// Connects.
    pub async fn open(url: &str) -> Self {
        Self(PgConnection::connect(url).await.expect("a connection"))
    }

    /// Runs one or several statements in a transaction; the error is Postgres's message.
    pub async fn run(&mut self, sql: &str) -> Result<(), String> {
        let run = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.0).await;
        run.map(|_| ()).map_err(|error| error.to_string())
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// A command that runs as the system user that Postgres runs as, because Postgres refuses to run as root.
pub(crate) fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// The path of a Postgres program.
pub(crate) fn program(name: &str) -> PathBuf {
    rig::postgres::programs(&root()).unwrap_or_else(|error| panic!("{error:#}")).join(name)
}
