//! Real Postgres clusters, started by `scripts/private-postgres.sh` on a Unix socket.

use crate::root;
use crate::server::binary;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A cluster. It ends when it is dropped, or with this process: the guard waits for our end of its pipe to close.
pub struct Cluster {
    directory: PathBuf,
    url: String,
    environment: Vec<(String, String)>,
    guard: Child,
}

impl Cluster {
    /// Starts a cluster of its own, for a test that stops Postgres.
    pub fn start() -> Self {
        Self::start_with(&["--fast"], &[])
    }

    /// One that flushes, with variables in its environment.
    pub fn durable(environment: &[(&str, &str)]) -> Self {
        Self::start_with(&[], environment)
    }

    fn start_with(options: &[&str], environment: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = PathBuf::from(format!("/tmp/cxr-test-{}-{number}", std::process::id()));
        let guard = Self::guard(&directory);
        let started = Command::new(script())
            .arg("start")
            .arg(&directory)
            .args(options)
            .envs(environment.iter().copied())
            .output()
            .expect("the script runs");
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let url = String::from_utf8(started.stdout).expect("a URL").trim().to_owned();
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { directory, url, environment, guard }
    }

    /// Stops the cluster of a folder when our end of its pipe closes.
    fn guard(directory: &Path) -> Child {
        let mut guard = Command::new("sh");
        guard.args(["-c", "read -r _; exec \"$0\" stop \"$1\""]).arg(script()).arg(directory);
        guard.stdin(Stdio::piped()).process_group_of_its_own().spawn().expect("sh runs")
    }

    /// One whose data are in a folder already, and which runs.
    pub(crate) fn of(directory: PathBuf) -> Self {
        let url = format!("postgres://cxr@localhost/postgres?host={}", directory.display());
        Self { guard: Self::guard(&directory), environment: Vec::new(), url, directory }
    }

    /// Its folder.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A folder in its own, which it can write to as well.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.directory.join(name);
        let made = as_postgres(Path::new("mkdir")).arg("-p").arg(&folder).current_dir("/tmp").status();
        assert!(made.expect("mkdir runs").success());
        folder
    }

    /// What the server has logged: failed logins among it.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("data/log")).expect("its folder is ours")
    }

    /// From now on it asks everybody but its owner for a password.
    pub fn ask_for_passwords(&self) {
        let rules = "local all cxr trust\nlocal replication cxr trust\nlocal all all scram-sha-256\n";
        std::fs::write(self.directory.join("data/pg_hba.conf"), rules).expect("its folder is ours");
        self.psql("postgres", "select pg_reload_conf()");
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.directory.join(".s.PGSQL.5432")
    }

    /// The connection URL of a database.
    pub fn url(&self, database: &str) -> String {
        self.url.replace("/postgres?", &format!("/{database}?"))
    }

    /// A new database with every migration applied.
    pub fn database(&self) -> String {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("create database {name} template {}", self.template()));
        self.url(&name)
    }

    /// A copy of a database that nobody is connected to.
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
        if !made.contains(&self.directory) {
            self.psql("postgres", &format!("create database {NAME}"));
            let migrated = Command::new(binary())
                .arg("migrate")
                .env("CXR_PROFILE", "development")
                .env("CXR_SERVICE__DATABASE__URL", self.url(NAME))
                .output()
                .expect("cxr-service runs");
            assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
            made.push(self.directory.clone());
        }
        NAME
    }

    /// From now on every user but the cluster's own shows a password.
    pub fn require_passwords(&self) {
        let rules = "local all cxr trust\nlocal all all scram-sha-256\n";
        std::fs::write(self.directory.join("data/pg_hba.conf"), rules).expect("the cluster's rules");
        self.psql("postgres", "select pg_reload_conf()");
    }

    /// Runs one statement and returns what psql prints without decoration.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        psql(&self.url(database), sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Sends the postmaster a signal: STOP and CONT stall it, and `kill` of its children follows its own rules.
    pub fn signal(&self, signal: &str) {
        let pid = self.pid().expect("a running cluster");
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

    /// Ends it as a crash does: nobody is told, and its next start recovers.
    pub fn crash(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    /// Starts it again after [`stop`](Self::stop) or [`crash`](Self::crash).
    pub fn restart(&self) {
        let log = self.directory.join("data/log");
        let options = format!(
            "-c listen_addresses='' -k {} -c max_connections=300 -c fsync=off",
            self.directory.display()
        );
        self.control(&["-l", &log.to_string_lossy(), "-o", &options, "start"]);
    }

    /// Starts it again, whether or not it has ended by itself.
    pub fn restart_whatever_runs(&self) {
        let running = self.pid().is_some_and(|pid| Path::new("/proc").join(pid).exists());
        if running {
            self.crash();
        }
        self.restart();
    }

    fn pid(&self) -> Option<String> {
        let file = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).ok()?;
        file.lines().next().map(str::to_owned)
    }

    pub(crate) fn control(&self, arguments: &[&str]) {
        let mut command = as_postgres(&program("pg_ctl"));
        let data = self.directory.join("data");
        command.current_dir("/tmp").envs(self.environment.iter().cloned());
        let done = command.arg("-D").arg(data).arg("-w").args(arguments).output();
        assert!(done.expect("pg_ctl runs").status.success());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.guard.stdin.take() {
            let _ = pipe.write_all(b"\n");
        }
        let _ = self.guard.wait();
    }
}

/// The cluster that the tests of this process share.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start)
}

/// The URL of a database of [`shared`] for a user who has one of the log's roles and nothing else.
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

/// Runs one statement against a URL.
pub fn psql(url: &str, sql: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// A session of its own, for many statements: psql takes longer to start than most of them.
pub struct Session(PgConnection);

impl Session {
    /// Connects.
    pub async fn open(url: &str) -> Self {
        Self(PgConnection::connect(url).await.expect("a connection"))
    }

    /// Runs one or several statements in a transaction; why they are refused.
    pub async fn run(&mut self, sql: &str) -> Result<(), String> {
        let run = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.0).await;
        run.map(|_| ()).map_err(|error| error.to_string())
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

fn script() -> PathBuf {
    root().join("scripts/private-postgres.sh")
}

/// A command that runs as the user whom Postgres runs as: it refuses to run as root.
pub(crate) fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// A program of the newest Postgres.
pub(crate) fn program(name: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin").join(name)).collect())
        .unwrap_or_default();
    versions.sort();
    versions.pop().filter(|path| path.exists()).unwrap_or_else(|| Path::new(name).to_owned())
}

/// The guard must outlive a Ctrl-C that ends the tests.
trait ProcessGroup {
    fn process_group_of_its_own(&mut self) -> &mut Self;
}

impl ProcessGroup for Command {
    fn process_group_of_its_own(&mut self) -> &mut Self {
        std::os::unix::process::CommandExt::process_group(self, 0)
    }
}
