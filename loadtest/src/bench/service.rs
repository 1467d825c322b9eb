//! Our service as a contestant: as it is delivered, in the development profile, with what `--set` changes.

use super::images::Images;
use super::postgres::Postgres;
use super::process::Process;
use super::server::Server;
use super::subject::Subject;
use crate::generator::Target;
use crate::listening::listening;
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The peer takes whatever comes and waits for ever; so that both can hold every client of the largest load on a slow
/// host, ours is told to as well.
const UNBOUNDED: [(&str, &str); 3] = [
    ("limits.max_in_flight", "256"),
    ("limits.client_max_in_flight", "256"),
    ("limits.deadline_ms", "60000"),
];

/// Which limits are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limits {
    /// Those that the service has by default.
    Default,
    /// Room for every client of the largest load.
    Wide,
}

/// A key under `service` and its value.
pub type Setting = (String, String);

/// Reads `key=value`.
///
/// # Errors
/// When there is no `=`.
pub fn parse_setting(text: &str) -> Result<Setting, String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
    Ok((key.trim_start_matches("service.").to_owned(), value.to_owned()))
}

/// Starts it on a database of its own and waits until it is ready; also says how many milliseconds that took.
pub(super) fn start(
    subject: &Subject,
    settings: &[Setting],
    limits: Limits,
    postgres: &Postgres,
    images: &Images,
    logs: &Path,
) -> Result<(Server, f64)> {
    let database =
        format!("cxr_{}_{}", subject.model, subject.precision).replace(|c: char| !c.is_alphanumeric(), "_");
    let database = format!("{database}{}", if limits == Limits::Default { "_default" } else { "" });
    postgres.create(&database)?;
    let mut command = command(subject, settings, limits, &postgres.url(&database))?;
    let migrated = command.arg("migrate").output().context("cxr-service cannot be run")?;
    ensure!(migrated.status.success(), "cxr-service migrate: {}", String::from_utf8_lossy(&migrated.stderr));
    let token = token(subject, settings, limits, postgres, "bench")?;

    let mut command = self::command(subject, settings, limits, &postgres.url(&database))?;
    command.arg("serve");
    let started = Instant::now();
    let mut process = Process::start(command, &logs.join("service.log"))?;
    let address = process.wait_for("cxr-service", |log| log.lines().find_map(listening))?;
    wait_ready(&mut process, address, "/readyz", "cxr-service")?;
    let ready_ms = started.elapsed().as_secs_f64() * 1e3;
    let target = Target::new(address, "/v1/predictions", &token, images.forms())?;
    Ok((Server { process, target: Rc::new(target), postgres: postgres.id()? }, ready_ms))
}

fn command(subject: &Subject, settings: &[Setting], limits: Limits, url: &str) -> Result<Command> {
    let mut command = Command::new(binary()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CXR_SERVICE__") {
            command.env_remove(name);
        }
    }
    let own = [
        ("http.bind", "127.0.0.1:0"),
        ("database.url", url),
        ("telemetry.log_format", "json"),
        ("model.bundle", &subject.directory.to_string_lossy()),
        ("model.variant", &subject.variant),
    ];
    let asked = settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let unbounded = UNBOUNDED.into_iter().filter(|_| limits == Limits::Wide);
    for (key, value) in own.into_iter().chain(unbounded).chain(asked) {
        command.env(format!("CXR_SERVICE__{}", key.replace('.', "__").to_uppercase()), value);
    }
    command.env("CXR_PROFILE", "development");
    Ok(command)
}

/// `cxr-service` beside this program.
fn binary() -> Result<PathBuf> {
    let path = std::env::current_exe().context("this program's own path")?.with_file_name("cxr-service");
    ensure!(path.exists(), "{}: is not built; cargo build --release --bins", path.display());
    Ok(path)
}

/// A token of a client.
pub(super) fn token(
    subject: &Subject,
    settings: &[Setting],
    limits: Limits,
    postgres: &Postgres,
    client: &str,
) -> Result<String> {
    let mut command = command(subject, settings, limits, &postgres.url("postgres"))?;
    command.args(["dev-token", "--subject", client, "--scope", "predict", "--ttl", "12h"]);
    let output = command.output().context("cxr-service cannot be run")?;
    ensure!(output.status.success(), "cxr-service dev-token: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Waits until a GET is answered 200.
pub(super) fn wait_ready(process: &mut Process, address: SocketAddr, path: &str, name: &str) -> Result<()> {
    use std::io::{Read, Write};
    let started = Instant::now();
    let ask = || -> std::io::Result<bool> {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    while !ask().unwrap_or(false) {
        process.check_alive(name)?;
        ensure!(
            started.elapsed() < Duration::from_mins(1),
            "{name} is not ready after 60 s: {}",
            process.log()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_may_carry_the_sections_name_or_not() {
        let expected = Ok(("model.sessions".to_owned(), "2".to_owned()));
        assert_eq!(parse_setting("service.model.sessions=2"), expected);
        assert_eq!(parse_setting("model.sessions=2"), expected);
        assert!(parse_setting("model.sessions").is_err());
    }
}
