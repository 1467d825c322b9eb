//! Starting `cxr-service` and waiting until it listens or is ready.

use crate::process::Process;
use anyhow::{Result, ensure};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(10);

/// Starts a command that serves and waits until its log states the address on which it listens.
pub fn serve(command: Command, log: &Path, limit: Duration) -> Result<(Process, SocketAddr)> {
    let mut process = Process::start(command, log)?;
    let address = process.wait_for("listening", limit, |log| log.lines().find_map(listening_address))?;
    Ok((process, address))
}

/// The address in the log line that a service writes when it listens.
fn listening_address(line: &str) -> Option<SocketAddr> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = event.get("fields").unwrap_or(&event);
    (fields["message"] == "listening").then(|| fields["address"].as_str()?.parse().ok())?
}

/// Waits until a GET of `path` returns 200.
pub fn wait_ready(process: &mut Process, address: SocketAddr, path: &str, limit: Duration) -> Result<()> {
    let started = Instant::now();
    loop {
        let answer = get(address, path).unwrap_or_else(|error| error.to_string());
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(());
        }
        process.check_alive()?;
        ensure!(
            started.elapsed() < limit,
            "{path} is not ready after {} s: {}\n{}",
            limit.as_secs(),
            answer.rsplit("\r\n\r\n").next().unwrap_or_default(),
            process.last_lines()
        );
        std::thread::sleep(POLL);
    }
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
