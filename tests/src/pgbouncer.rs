//! PgBouncer in front of a cluster.

use crate::postgres::{Cluster, as_postgres, name};
use crate::skipped;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A pooler. It ends when it is dropped.
pub struct PgBouncer {
    directory: PathBuf,
    process: Child,
}

impl PgBouncer {
    /// Starts it in a pool mode. It accepts and drops the start-up parameters `ignored`. `None` if it is not
    /// installed.
    pub fn start(cluster: &Cluster, pool_mode: &str, ignored: &str) -> Option<Self> {
        let Some(program) =
            ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(Path::new).into_iter().find(|p| p.exists())
        else {
            skipped("pgbouncer is not installed (scripts/setup.sh)");
            return None;
        };
        let directory = cluster.folder(&format!("pgbouncer-{pool_mode}"));
        std::fs::write(directory.join("users.txt"), "\"cxr\" \"\"\n").expect("a writable folder");
        let (socket, folder) = (cluster.socket(), directory.display());
        let host = socket.parent().expect("a folder").display();
        let configuration = format!(
            "[databases]\n* = host={host} port=5432\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n\
             unix_socket_dir = {folder}\nauth_type = trust\nauth_file = {folder}/users.txt\npool_mode = {pool_mode}\n\
             ignore_startup_parameters = {ignored}\nmax_client_conn = 200\ndefault_pool_size = 30\nlogfile = {folder}/log\n"
        );
        let file = directory.join("pgbouncer.ini");
        std::fs::write(&file, configuration).expect("a writable folder");
        let mut command = as_postgres(program);
        command.arg("-q").arg(&file).current_dir("/tmp").stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("pgbouncer runs");
        let socket = directory.join(".s.PGSQL.6432");
        let begun = Instant::now();
        while !socket.exists() {
            assert!(begun.elapsed() < Duration::from_secs(10), "pgbouncer does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { directory, process })
    }

    /// Changes the pool mode while it runs.
    pub fn change_mode(&self, pool_mode: &str) {
        let file = self.directory.join("pgbouncer.ini");
        let old = std::fs::read_to_string(&file).expect("its configuration");
        let lines = old.lines().map(|line| {
            if line.starts_with("pool_mode") { format!("pool_mode = {pool_mode}") } else { line.to_owned() }
        });
        std::fs::write(&file, lines.collect::<Vec<_>>().join("\n") + "\n").expect("its configuration");
        let pid = self.process.id().to_string();
        assert!(
            std::process::Command::new("kill").args(["-HUP", &pid]).status().expect("kill runs").success()
        );
    }

    /// The URL of a database of the cluster through the pooler.
    pub fn url(&self, database_url: &str) -> String {
        format!("postgres://cxr@localhost:6432/{}?host={}", name(database_url), self.directory.display())
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
