//! The FastAPI peer: it runs a float twin of the same graph, with the best settings for the host.

use super::images::Images;
use super::model::Model;
use super::server::Server;
use super::service::START_LIMIT;
use crate::generator::{Target, Traffic, Window, forms};
use crate::terminal::progress;
use anyhow::{Context, Result, ensure};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rig::{Postgres, Process};
use serde::Serialize;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Not a secret: it protects nothing.
const SECRET: &str = "benchmark-only-token-secret-known-to-everybody";
/// Clients of the load that compares settings.
const SWEEP_CLIENTS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PeerSetting {
    pub workers: usize,
    pub intra_threads: usize,
    pub pool_threads: usize,
}

impl FromStr for PeerSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let [workers, intra_threads, pool_threads] = super::three_numbers(text)
            .ok_or_else(|| format!("{text:?} is not WORKERS,INTRA_THREADS,POOL_THREADS, such as 2,1,1"))?;
        Ok(Self { workers, intra_threads, pool_threads })
    }
}

impl std::fmt::Display for PeerSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { workers, intra_threads, pool_threads } = self;
        write!(f, "{workers} workers x {pool_threads} pool threads x {intra_threads} intra-op threads")
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct PeerCell {
    pub(super) setting: PeerSetting,
    pub(super) rps: f64,
    pub(super) p50_ms: f64,
}

/// The parts of the peer that do not depend on the setting.
#[derive(Debug)]
pub(super) struct Peer {
    python: PathBuf,
    twin: PathBuf,
    clahe: bool,
    database_url: String,
    token: String,
    postgres: u32,
}

impl Peer {
    /// Installs the interpreter if it is missing, and creates the twin and the database.
    pub(super) fn prepare(model: &Model, postgres: &Postgres, work: &Path) -> Result<Self> {
        let python = run(Command::new("scripts/venv.sh").arg("service-peer"))
            .context("use --without-peer to run without it")?;
        let twin = std::path::absolute(work.join(format!("{}-twin.onnx", model.name)))?;
        let mut script = Command::new(&python);
        script.arg("loadtest/peer/twin.py").arg(&model.fp32_file).arg(&twin);
        progress(format_args!("the peer's twin, {}", run(&mut script)?));
        let database = model.database("peer");
        Ok(Self {
            python: python.into(),
            twin,
            clahe: model.clahe,
            // asyncpg accepts a socket's folder only if the URL names no host.
            database_url: postgres.create(&database)?.replace("@localhost/", "@/"),
            token: token()?,
            postgres: postgres.id()?,
        })
    }

    pub(super) async fn start(&self, setting: PeerSetting, images: &Images, logs: &Path) -> Result<Server> {
        // Freed here, and bound by the peer a moment later.
        let address: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new("loadtest/peer/run.sh");
        command
            .env("PYTHON", &self.python)
            .env("PORT", address.port().to_string())
            .env("WORKERS", setting.workers.to_string())
            .env("INTRA_OP_THREADS", setting.intra_threads.to_string())
            .env("POOL_THREADS", setting.pool_threads.to_string())
            .env("CLAHE", if self.clahe { "1" } else { "0" })
            .env("MODEL", &self.twin)
            .env("DATABASE_URL", &self.database_url)
            .env("JWT_SECRET", SECRET);
        let mut process = Process::start(command, &logs.join("peer.log"))?;
        rig::service::wait_ready(&mut process, address, "/healthz", START_LIMIT)?;
        let target = Target::new(address, "/v1/predict", &self.token, forms(&images.files))?;
        let mut server = Server { process, target: Rc::new(target), postgres: self.postgres };
        server.check("the peer").await?;
        // The first worker answers /healthz while the others still start: this load waits for them.
        let warm = Window { warm_s: 0.0, seconds: 1.0 };
        server.measure(Traffic::Closed { clients: SWEEP_CLIENTS }, warm).await?;
        Ok(server)
    }

    pub(super) async fn try_setting(
        &self,
        setting: PeerSetting,
        images: &Images,
        seconds: f64,
        logs: &Path,
    ) -> Result<PeerCell> {
        let mut server = self.start(setting, images, logs).await?;
        let window = Window { warm_s: 1.0, seconds };
        let found = server.measure(Traffic::Closed { clients: SWEEP_CLIENTS }, window).await?;
        ensure!(found.failed == 0, "the peer failed {} requests; see {}", found.failed, logs.display());
        let cell = PeerCell { setting, rps: found.rps(), p50_ms: found.percentile_ms(50.0) };
        progress(format_args!("peer, {setting}: {:.1} requests/s, p50 {:.1} ms", cell.rps, cell.p50_ms));
        Ok(cell)
    }

    /// Tries the settings that may be best on this host, and returns them with the best first.
    pub(super) async fn sweep(&self, images: &Images, seconds: f64, logs: &Path) -> Result<Vec<PeerCell>> {
        let mut cells = Vec::new();
        for setting in candidates(std::thread::available_parallelism()?.get()) {
            cells.push(self.try_setting(setting, images, seconds, logs).await?);
        }
        cells.sort_by(|a, b| b.rps.total_cmp(&a.rps));
        Ok(cells)
    }
}

/// Processes x threads per operator x pool threads: 1 or all cores each; twice the pool threads hide waiting.
fn candidates(cores: usize) -> Vec<PeerSetting> {
    let mut settings = Vec::new();
    for workers in [1, cores] {
        for intra_threads in [1, cores] {
            for pool_threads in [1, cores, cores * 2] {
                let setting = PeerSetting { workers, intra_threads, pool_threads };
                let threads = workers * intra_threads * pool_threads;
                if threads <= cores * 4 && threads >= cores && !settings.contains(&setting) {
                    settings.push(setting);
                }
            }
        }
    }
    settings
}

fn token() -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
    let claims = serde_json::json!({"sub": "bench", "scope": "predict", "exp": now + 86_400});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.stderr(std::process::Stdio::inherit()).output();
    let output = output.with_context(|| format!("{name} cannot be run"))?;
    ensure!(output.status.success(), "{name} ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweep_uses_every_core_and_no_setting_twice() {
        for cores in [1, 2, 8] {
            let found = candidates(cores);
            assert!(found.iter().all(|s| s.workers * s.intra_threads * s.pool_threads >= cores), "{found:?}");
            let unique: std::collections::BTreeSet<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(unique.len(), found.len());
        }
        assert_eq!("2,1,4".parse(), Ok(PeerSetting { workers: 2, intra_threads: 1, pool_threads: 4 }));
        for wrong in ["2,1", "2,1,4,1", "0,1,1", "a,b,c", ""] {
            assert!(wrong.parse::<PeerSetting>().is_err(), "{wrong}");
        }
    }
}
