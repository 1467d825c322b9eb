//! The processes: Postgres, two replicas, Prometheus, Alertmanager. All end with this process.

use super::replica::{self, Replica};
use anyhow::{Context, Result};
use rig::postgres::Options;
use rig::{Postgres, Process, Settings};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const START_LIMIT: Duration = Duration::from_secs(30);

pub(super) struct Stack {
    pub(super) replicas: Vec<Replica>,
    /// Settings of a replica, for commands.
    pub(super) settings: Settings,
    pub(super) page: SocketAddr,
    prometheus: SocketAddr,
    alertmanager: SocketAddr,
    _processes: [Process; 2],
    // Stopped after what uses it.
    _postgres: Postgres,
}

impl Stack {
    pub(super) fn start(out: &Path, page: SocketAddr) -> Result<Self> {
        let directory = PathBuf::from(format!("/tmp/cxr-watch-{}", std::process::id()));
        let postgres = Postgres::start(Path::new("."), &directory, Options::default())?;
        let settings = replica::settings(&postgres.create("cxr")?)?;
        replica::output(&settings, &["migrate"])?;
        let start = |n: usize| Replica::start(&settings, &out.join(format!("service-{n}.log")));
        let replicas = (1..=2).map(start).collect::<Result<Vec<_>>>()?;
        let alertmanager = free_port()?;
        let prometheus = free_port()?;
        let alerts = start_alertmanager(&out.join("alertmanager"), alertmanager, page)?;
        let metrics = start_prometheus(&out.join("prometheus"), prometheus, alertmanager, &replicas)?;
        let processes = [alerts, metrics];
        Ok(Self {
            replicas,
            settings,
            page,
            prometheus,
            alertmanager,
            _processes: processes,
            _postgres: postgres,
        })
    }

    pub(super) fn prometheus_url(&self) -> String {
        format!("http://{}", self.prometheus)
    }

    pub(super) fn alertmanager_url(&self) -> String {
        format!("http://{}", self.alertmanager)
    }
}

fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?)
}

/// One route without the waits of deploy/alertmanager: a person is watching.
fn start_alertmanager(folder: &Path, address: SocketAddr, page: SocketAddr) -> Result<Process> {
    let route =
        "{ receiver: page, group_by: [alertname], group_wait: 1s, group_interval: 5s, repeat_interval: 1h }";
    let config = format!(
        "route: {route}\nreceivers:\n  - name: page\n    webhook_configs:\n      - {{ url: 'http://{page}/webhook', send_resolved: true }}\n"
    );
    write(&folder.join("alertmanager.yml"), &config)?;
    let mut command = program("prometheus-alertmanager", "alertmanager");
    command.arg(format!("--config.file={}", folder.join("alertmanager.yml").display()));
    command.arg(format!("--storage.path={}", folder.join("data").display()));
    command.arg(format!("--web.listen-address={address}"));
    command.arg("--cluster.listen-address=");
    started(command, &folder.join("alertmanager.log"), address)
}

/// The rules of deploy/prometheus, with every `for` cut to seconds and a scrape every two seconds.
fn start_prometheus(
    folder: &Path,
    address: SocketAddr,
    alertmanager: SocketAddr,
    replicas: &[Replica],
) -> Result<Process> {
    let rules = Path::new("deploy/prometheus/rules");
    for entry in std::fs::read_dir(rules).with_context(|| format!("{}: cannot be listed", rules.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        write(&folder.join("rules").join(name), &without_waits(&std::fs::read_to_string(&path)?))?;
    }
    let targets: Vec<String> = replicas.iter().map(|replica| format!("'{}'", replica.address)).collect();
    let config = format!(
        "global: {{ scrape_interval: 2s, evaluation_interval: 2s }}\nrule_files: [rules/*.yml]\n\
         alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['{alertmanager}'] }}] }}] }}\n\
         scrape_configs:\n  - job_name: cxr\n    honor_labels: true\n    static_configs: [{{ targets: [{}] }}]\n",
        targets.join(", ")
    );
    write(&folder.join("prometheus.yml"), &config)?;
    let mut command = program("prometheus", "prometheus");
    command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    command.arg(format!("--web.listen-address={address}"));
    started(command, &folder.join("prometheus.log"), address)
}

/// The rules with `for: 10s` in place of longer times.
fn without_waits(rules: &str) -> String {
    let shortened = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        let waits = line.trim_start().starts_with("for:");
        if waits { format!("{}for: 10s", &line[..indent]) } else { line.to_owned() }
    };
    rules.lines().map(shortened).collect::<Vec<_>>().join("\n")
}

/// Debian's name of a program, or the one of its project.
fn program(debian: &str, upstream: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    Command::new(if has(debian) { debian } else { upstream })
}

fn started(command: Command, log: &Path, address: SocketAddr) -> Result<Process> {
    let mut process = Process::start(command, log).context("make setup installs it")?;
    rig::service::wait_ready(&mut process, address, "/-/ready", START_LIMIT)?;
    Ok(process)
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))
}
