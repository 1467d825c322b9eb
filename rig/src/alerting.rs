//! Prometheus and Alertmanager on this machine with the files of deploy/, and a sink for the webhooks.
//!
//! Only what a machine alone needs differs from the files: addresses, `for:` and the waits of Alertmanager
//! are short, every receiver is a webhook of the sink under its own name, and no time window applies.

use crate::process::Process;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use serde_yaml_ng::{Mapping, Value as Yaml};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(30);

/// Durations of the rules and of the routes here.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between scrapes and between evaluations.
    pub interval: &'static str,
    /// Every `for:` that is not 0.
    pub pending: &'static str,
    /// `group_wait` and `group_interval`.
    pub wait: &'static str,
}

/// The running programs. They are killed when this is dropped.
#[derive(Debug)]
pub struct Alerting {
    prometheus: Process,
    alertmanager: Process,
    sink: Process,
    /// `http://127.0.0.1:PORT`
    pub prometheus_url: String,
    pub alertmanager_url: String,
}

impl Alerting {
    /// Starts the programs in `folder`; `root` is the root of the repository.
    pub fn start(root: &Path, folder: &Path, replicas: &[SocketAddr], pace: Pace) -> Result<Self> {
        let mut sink = Command::new("python3");
        sink.arg("-u").arg(root.join("deploy/local/webhook_sink.py"));
        let mut sink = Process::start(sink, &folder.join("sink.log"))?;
        let address = |log: &str| log.lines().next()?.strip_prefix("listening on ").map(str::to_owned);
        let receiver = sink.wait_for("listening", START_LIMIT, address)?;

        let (at, manager_at) = (free_port()?, free_port()?);
        let manager_file = folder.join("alertmanager.yml");
        fs::write(&manager_file, alertmanager(root, &receiver, pace)?)?;
        let mut command = Command::new("prometheus-alertmanager");
        command.arg(format!("--config.file={}", manager_file.display()));
        command.arg(format!("--storage.path={}", folder.join("alertmanager").display()));
        command.args([&format!("--web.listen-address={manager_at}"), "--cluster.listen-address="]);
        let mut alertmanager = Process::start(command, &folder.join("alertmanager.log"))?;
        crate::service::wait_ready(&mut alertmanager, manager_at, "/-/ready", START_LIMIT)?;

        let file = prometheus(root, folder, replicas, manager_at, pace)?;
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={at}"));
        // What fires before Alertmanager is discovered would come a minute later.
        command.arg("--rules.alert.resend-delay=2s");
        let mut prometheus = Process::start(command, &folder.join("prometheus.log"))?;
        crate::service::wait_ready(&mut prometheus, at, "/-/ready", START_LIMIT)?;
        let (prometheus_url, alertmanager_url) = (format!("http://{at}"), format!("http://{manager_at}"));
        Ok(Self { prometheus, alertmanager, sink, prometheus_url, alertmanager_url })
    }

    /// The notifications that arrived: path of the receiver and Alertmanager's message.
    pub fn notifications(&self) -> Vec<(String, Value)> {
        let log = self.sink.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .map(|mut line| {
                (line["path"].as_str().unwrap_or_default().to_owned(), line["notification"].take())
            })
            .collect()
    }

    /// Waits until `receiver` got the alert with this status (`firing` or `resolved`), and returns the alert.
    pub fn wait_for(&mut self, receiver: &str, alert: &str, status: &str, limit: Duration) -> Result<Value> {
        let started = Instant::now();
        loop {
            for (path, notification) in self.notifications() {
                let alerts = notification["alerts"].as_array().map_or(&[][..], Vec::as_slice);
                let wanted = |it: &&Value| it["labels"]["alertname"] == alert && it["status"] == status;
                if let (true, Some(found)) = (path == format!("/{receiver}"), alerts.iter().find(wanted)) {
                    return Ok(found.clone());
                }
            }
            for process in [&mut self.prometheus, &mut self.alertmanager, &mut self.sink] {
                process.check_alive()?;
            }
            let log = self.alertmanager.last_lines();
            ensure!(started.elapsed() < limit, "{receiver} did not get {alert} {status}\n{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn yaml(path: &Path) -> Result<Yaml> {
    let text = fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    serde_yaml_ng::from_str(&text).with_context(|| format!("{}: not YAML", path.display()))
}

/// Writes the rules and the configuration of Prometheus, and returns the path of the latter.
fn prometheus(
    root: &Path,
    folder: &Path,
    replicas: &[SocketAddr],
    manager: SocketAddr,
    pace: Pace,
) -> Result<PathBuf> {
    let source = root.join("deploy/prometheus");
    let rules = folder.join("rules");
    fs::create_dir_all(&rules)?;
    for entry in fs::read_dir(source.join("rules"))? {
        let path = entry?.path();
        let mut file = yaml(&path)?;
        for group in file["groups"].as_sequence_mut().into_iter().flatten() {
            group.as_mapping_mut().context("a group is a mapping")?.remove("interval");
            for rule in group["rules"].as_sequence_mut().into_iter().flatten() {
                if rule.get("for").is_some_and(|pending| pending != "0m") {
                    rule["for"] = pace.pending.into();
                }
            }
        }
        fs::write(rules.join(path.file_name().unwrap_or_default()), serde_yaml_ng::to_string(&file)?)?;
    }
    let mut file = yaml(&source.join("prometheus.yml"))?;
    file["global"]["scrape_interval"] = pace.interval.into();
    file["global"]["evaluation_interval"] = pace.interval.into();
    let targets = |addresses: &[SocketAddr], labels: &str| -> Result<Yaml> {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        Ok(serde_yaml_ng::from_str(&format!("[{{targets: {addresses:?}, labels: {labels}}}]"))?)
    };
    let scrape = &mut file["scrape_configs"][0];
    scrape.as_mapping_mut().context("a scrape is a mapping")?.remove("file_sd_configs");
    scrape["static_configs"] = targets(replicas, "{site: main}")?;
    let mut managers = Mapping::new();
    managers.insert("static_configs".into(), targets(&[manager], "{}")?);
    file["alerting"]["alertmanagers"] = Yaml::Sequence(vec![managers.into()]);
    let path = folder.join("prometheus.yml");
    fs::write(&path, serde_yaml_ng::to_string(&file)?)?;
    Ok(path)
}

/// The configuration of Alertmanager with the sink as every receiver.
fn alertmanager(root: &Path, sink: &str, pace: Pace) -> Result<String> {
    let mut file = yaml(&root.join("deploy/alertmanager/alertmanager.yml"))?;
    let whole = file.as_mapping_mut().context("a mapping")?;
    whole.remove("global");
    whole.remove("time_intervals");
    hasten(&mut file["route"], pace);
    for receiver in file["receivers"].as_sequence_mut().into_iter().flatten() {
        let name = receiver["name"].as_str().context("a receiver has a name")?.to_owned();
        *receiver = serde_yaml_ng::from_str(&format!(
            "{{name: {name}, webhook_configs: [{{url: 'http://{sink}/{name}', send_resolved: true}}]}}"
        ))?;
    }
    Ok(serde_yaml_ng::to_string(&file)?)
}

fn hasten(route: &mut Yaml, pace: Pace) {
    if let Some(route) = route.as_mapping_mut() {
        route.remove("active_time_intervals");
    }
    for wait in ["group_wait", "group_interval"] {
        route[wait] = pace.wait.into();
    }
    route["repeat_interval"] = "1h".into();
    route["routes"].as_sequence_mut().into_iter().flatten().for_each(|route| hasten(route, pace));
}
