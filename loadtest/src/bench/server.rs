//! A contestant that answers over HTTP, with its processor time and memory.

use super::accounting::{cpu_seconds, host_busy_seconds, resident_bytes};
use crate::generator::{self, Cpu, Measurement, Target, Traffic, Window};
use anyhow::{Result, ensure};
use rig::Process;
use std::rc::Rc;

#[derive(Debug)]
pub(super) struct Server {
    pub(super) process: Process,
    pub(super) target: Rc<Target>,
    /// Process id of the Postgres that it writes to.
    pub(super) postgres: u32,
}

impl Server {
    /// Sends one request; fails with the answer if it is not 200.
    pub(super) async fn check(&mut self, name: &str) -> Result<()> {
        let target = Rc::clone(&self.target);
        let asked = tokio::task::LocalSet::new().run_until(async move { target.ask_once().await }).await;
        self.process.check_alive()?;
        let (status, text) = asked?;
        ensure!(status == 200, "{name} answers {status} to an image: {text}");
        Ok(())
    }

    /// Measures it under load, with the processor time of all parties within the window.
    pub(super) async fn measure(&mut self, traffic: Traffic, window: Window) -> Result<Measurement> {
        let (id, postgres) = (self.process.id(), self.postgres);
        // Reading /proc takes milliseconds: the generator's own time is read closest to the window.
        let begin = || {
            let (postgres, contestant) = (cpu_seconds(postgres)?, cpu_seconds(id)?);
            Ok(Cpu { generator: own_cpu_seconds(), postgres, contestant, host: host_busy_seconds()? })
        };
        let end = || {
            let (generator, host) = (own_cpu_seconds(), host_busy_seconds()?);
            Ok(Cpu { generator, postgres: cpu_seconds(postgres)?, contestant: cpu_seconds(id)?, host })
        };
        let mut found = generator::run(Rc::clone(&self.target), traffic, window, begin, end).await?;
        found.resident_bytes = resident_bytes(id)?;
        self.process.check_alive()?;
        Ok(found)
    }
}

/// Processor time of this process without its children, which is the generator.
fn own_cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
