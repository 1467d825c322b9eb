//! A running service: its process, its address, and a client with a token.

use super::program::Program;
use super::serve::Settings;
use anyhow::{Context, Result};
use rig::Process;
use std::net::SocketAddr;
use std::time::Duration;

/// Upper limit for a service that hangs.
const LONGEST: Duration = Duration::from_mins(15);

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// A running service; it is killed when dropped.
pub(super) struct Server {
    process: Process,
    pub(super) address: SocketAddr,
    /// Bearer token of the development profile.
    pub(super) token: String,
    pub(super) runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

impl Server {
    /// Starts the service and waits until it listens.
    pub(super) fn start(
        settings: &Settings,
        device: (&str, i32),
        name: &str,
        limit: Duration,
    ) -> Result<Self> {
        let host = settings.host;
        let token = settings.configure(Program::new(host, &host.service, limit), device);
        let token = token.args(&["dev-token", "--subject", "gpu-check", "--scope", "predict audit:read"]);
        let token = token.run()?;
        let log = host.work.join(format!("{name}.log"));
        let serve = settings.configure(Program::new(host, &host.service, LONGEST), device);
        let serve = serve.arg("serve").into_command(&log)?;
        let (process, address) = rig::service::serve(serve, &log, limit).context("the service")?;
        Ok(Self {
            process,
            address,
            token: token.trim().to_owned(),
            runtime: tokio::runtime::Runtime::new().context("the client's threads")?,
            client: reqwest::Client::builder().no_proxy().build().context("the HTTP client")?,
        })
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer> {
        let request = self.client.get(format!("http://{}{path}", self.address)).bearer_auth(&self.token);
        self.runtime.block_on(async {
            let response = request.timeout(Duration::from_secs(10)).send().await;
            let response = response.with_context(|| path.to_owned())?;
            let status = response.status().as_u16();
            Ok(Answer { status, body: response.text().await? })
        })
    }

    pub(super) fn wait_ready(&mut self, limit: Duration) -> Result<()> {
        rig::service::wait_ready(&mut self.process, self.address, "/readyz", limit)
    }
}
