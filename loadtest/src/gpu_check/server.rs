//! A running service: its process, its address, and a client with a token.

use super::program::Program;
use super::serve::Settings;
use crate::listening::listening;
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How often a starting service is looked at.
const POLL: Duration = Duration::from_millis(20);
/// The service ends with the check, however the check ends.
const LONGEST: Duration = Duration::from_mins(15);

/// What a request was answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// The process; it is ended when dropped.
pub(super) struct Server {
    child: Child,
    output: PathBuf,
    /// `http://127.0.0.1:PORT`
    pub(super) base: String,
    /// Bearer token of the development profile.
    pub(super) token: String,
    /// Drives the client.
    pub(super) runtime: tokio::runtime::Runtime,
    /// The client.
    pub(super) client: reqwest::Client,
}

impl Server {
    /// Starts the service and waits until it listens.
    ///
    /// # Errors
    /// With its last lines when it does not.
    pub(super) fn start(
        settings: &Settings,
        device: (&str, i32),
        name: &str,
        limit: Duration,
    ) -> Result<Self> {
        let host = settings.host;
        let token = settings.configure(Program::new(host, &host.service, limit), device);
        let token =
            token.args(&["dev-token", "--subject", "gpu-check", "--scope", "predict audit:read"]).run()?;
        let output = host.work.join(format!("{name}.log"));
        let serve = settings.configure(Program::new(host, &host.service, LONGEST), device);
        let child = serve.arg("serve").spawn(&output)?;
        let mut server = Self {
            child,
            output,
            base: String::new(),
            token: token.trim().to_owned(),
            runtime: tokio::runtime::Runtime::new().context("the client's threads")?,
            client: reqwest::Client::builder().no_proxy().build().context("the HTTP client")?,
        };
        let started = Instant::now();
        loop {
            let log = server.log();
            if let Some(address) = log.lines().find_map(listening) {
                server.base = format!("http://{address}");
                return Ok(server);
            }
            if server.child.try_wait()?.is_some() || started.elapsed() > limit {
                bail!("the service does not listen: {}", last_lines(&log));
            }
            std::thread::sleep(POLL);
        }
    }

    /// The address in `base`.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn address(&self) -> Result<SocketAddr> {
        self.base.trim_start_matches("http://").parse().with_context(|| self.base.clone())
    }

    /// A GET with the token.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) fn get(&self, path: &str) -> Result<Answer> {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        self.runtime.block_on(async {
            let response =
                request.timeout(Duration::from_secs(10)).send().await.with_context(|| path.to_owned())?;
            let status = response.status().as_u16();
            Ok(Answer { status, body: response.text().await? })
        })
    }

    /// Waits until `/readyz` says yes.
    ///
    /// # Errors
    /// With what it says instead.
    pub(super) fn wait_ready(&self, limit: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            let answer = self.get("/readyz")?;
            if answer.status == 200 {
                return Ok(());
            }
            if started.elapsed() > limit {
                bail!("the service is not ready: {}", answer.body);
            }
            std::thread::sleep(POLL);
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // timeout(1) hands the signal on; killed itself, it would leave the service behind.
        drop(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status());
        drop(self.child.wait());
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}
