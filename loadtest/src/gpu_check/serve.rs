//! Proves that the requested provider executes in the service, and that no other one takes its place.

use super::Args;
use super::inputs::Host;
use super::postgres::Database;
use super::program::Program;
use super::server::Server;
use crate::device::ProviderName;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

/// No host has this many GPUs.
const ABSENT_DEVICE: i32 = 63;
/// A database that does not exist: the service starts, is unready, and still reports the provider.
const NO_DATABASE: &str = "postgres://cxr@localhost/postgres?host=/nonexistent";

pub(super) struct Settings<'a> {
    pub(super) host: &'a Host,
    pub(super) args: &'a Args,
    pub(super) bundle: &'a Path,
    pub(super) database: Option<&'a Database>,
}

impl Settings<'_> {
    /// The configuration of the service for a provider and a device.
    pub(super) fn configure(&self, program: Program, (provider, device_id): (&str, i32)) -> Program {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let n_clients = self.args.clients.iter().copied().max().unwrap_or(1);
        // One session per GPU; on a CPU one per core.
        let sessions = if self.host.device == ProviderName::Cuda { 1 } else { threads };
        let url = self.database.map_or(NO_DATABASE, |database| &database.url);
        let settings = rig::Settings::development(url)
            .set("model.bundle", &self.bundle.display())
            .set("model.provider", &provider)
            .set("model.device_id", &device_id)
            .set("model.sessions", &sessions)
            .set("limits.max_in_flight", &(2 * n_clients))
            .set("limits.decode_threads", &threads);
        program.settings(&settings)
    }
}

/// The provider that executes the model, according to two sources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    pub provider: String,
    /// Number of nodes by provider from `GET /v1/model`, which equals the metric `cxr_execution_nodes`.
    pub assigned_nodes: BTreeMap<String, usize>,
    /// Everything that can change the last bits of an output.
    pub execution: Value,
    /// Milliseconds from the start to listening, including the check of the golden outputs.
    pub listening_ms: f64,
    /// Whether the service was ready; `None` without a database.
    pub ready: Option<bool>,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.assigned_nodes.get(&self.provider).copied().unwrap_or(0);
        let all: usize = self.assigned_nodes.values().sum();
        let ready = match self.ready {
            Some(_) => "ready",
            None => "readiness not checked without a database",
        };
        write!(
            f,
            "{} executes {own} of {all} nodes (/v1/model and cxr_execution_nodes agree); golden outputs checked and listening after {:.0} ms; {ready}",
            self.provider, self.listening_ms
        )
    }
}

pub(super) struct Served {
    pub(super) server: Server,
    pub(super) proof: Proof,
}

impl Served {
    pub(super) fn start(settings: &Settings, limit: Duration) -> Result<Self> {
        let host = settings.host;
        let device = (host.device.word(), host.device_id);
        if settings.database.is_some() {
            settings.configure(Program::new(host, &host.service, limit), device).arg("migrate").run()?;
        }
        let started = Instant::now();
        let mut server = Server::start(settings, device, "service", limit)?;
        let listening_ms = started.elapsed().as_secs_f64() * 1e3;
        if settings.database.is_some() {
            server.wait_ready(limit.saturating_sub(started.elapsed()))?;
        }
        let model = server.get("/v1/model")?;
        ensure!(model.status == 200, "/v1/model answers {}: {}", model.status, model.body);
        let model: Value = serde_json::from_str(&model.body).context("/v1/model")?;
        let unavailable = || format!("nothing executes: {}", model["unavailable"]);
        let provider = model["provider"].as_str().with_context(unavailable)?;
        let nodes = serde_json::from_value(model["assigned_nodes"].clone());
        let assigned_nodes: BTreeMap<String, usize> = nodes.context("/v1/model: assigned_nodes")?;
        let expected = match host.device {
            ProviderName::Cpu => "CPUExecutionProvider",
            ProviderName::Cuda => "CUDAExecutionProvider",
        };
        let own = assigned_nodes.get(expected).copied().unwrap_or(0);
        let all: usize = assigned_nodes.values().sum();
        ensure!(
            provider == expected && own * 2 > all,
            "requested {expected}, but /v1/model reports {provider}, nodes {assigned_nodes:?}"
        );
        let gauges = execution_nodes(&server.get("/metrics")?.body);
        ensure!(
            gauges == assigned_nodes,
            "/v1/model reports {assigned_nodes:?}, but the metric cxr_execution_nodes {gauges:?}"
        );
        let proof = Proof {
            provider: provider.to_owned(),
            assigned_nodes,
            execution: model["execution"].clone(),
            listening_ms,
            ready: settings.database.map(|_| true),
        };
        Ok(Self { server, proof })
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.proof.fmt(f)
    }
}

/// The reason that the service gives for being unready on a GPU that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsentDevice {
    pub cause: String,
}

impl fmt::Display for AbsentDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unready, as expected: {}", self.cause)
    }
}

/// Requests an absent GPU: the service must be unready with the cause, and no other provider may execute.
pub(super) fn absent_device(settings: &Settings, limit: Duration) -> Result<AbsentDevice> {
    let server = Server::start(settings, ("cuda", ABSENT_DEVICE), "absent-device", limit)?;
    let answer = server.get("/readyz")?;
    ensure!(answer.status == 503, "/readyz answers {}: {}", answer.status, answer.body);
    let problem: Value = serde_json::from_str(&answer.body).context("/readyz")?;
    let checks = problem["checks"].as_array().into_iter().flatten();
    let model = checks.into_iter().find(|check| check["check"] == "model");
    let cause = model.and_then(|check| check["cause"].as_str());
    let cause = cause.with_context(|| format!("/readyz does not name the model: {}", answer.body))?;
    let model: Value = serde_json::from_str(&server.get("/v1/model")?.body).context("/v1/model")?;
    let provider = &model["provider"];
    ensure!(provider.is_null(), "{provider} executes in place of a GPU that does not exist");
    Ok(AbsentDevice { cause: cause.to_owned() })
}

/// `cxr_execution_nodes` by provider.
fn execution_nodes(exposition: &str) -> BTreeMap<String, usize> {
    let gauge = |line: &str| {
        let (provider, value) = line.strip_prefix("cxr_execution_nodes{provider=\"")?.split_once("\"}")?;
        Some((provider.to_owned(), value.trim().parse().ok()?))
    };
    exposition.lines().filter_map(gauge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauge_is_parsed_by_provider() {
        let text = "# HELP cxr_execution_nodes Graph nodes\ncxr_execution_nodes{provider=\"CPUExecutionProvider\"} 3\n\
                    cxr_execution_nodes{provider=\"CUDAExecutionProvider\"} 120\ncxr_ready 1\n";
        let expected = [("CPUExecutionProvider".to_owned(), 3), ("CUDAExecutionProvider".to_owned(), 120)];
        assert_eq!(execution_nodes(text), expected.into());
    }
}
