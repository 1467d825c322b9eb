//! The real service in a process of its own, with its log, its address and an HTTP client.

use crate::postgres::shared;
use crate::{images, root, tokens};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use rig::{Process, Settings};
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// `cxr-service`, built into the same target directory as this test.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let path = test.parent().and_then(|deps| deps.parent()).expect("target/release/deps").join("cxr-service");
    assert!(path.exists(), "{} is not built: cargo build --release --bins", path.display());
    path
}

/// How a server is started.
pub struct Options {
    settings: Settings,
    arguments: Vec<String>,
    /// The program that runs the server, with its arguments; empty to run it directly.
    under: Vec<String>,
}

impl Options {
    /// The development profile with the default bundle, on a free port, on a database.
    pub fn on(database_url: &str) -> Self {
        Self::of(Settings::development(database_url))
            .set("model.bundle", &root().join("models/default").display())
            // Most tests use one client for all of their requests.
            .set("limits.client_max_in_flight", &64)
    }

    /// The production profile with a configuration folder, on a free port.
    pub fn production(config: &Path) -> Self {
        Self::of(Settings::production(config))
    }

    fn of(settings: Settings) -> Self {
        Self { settings, arguments: vec!["serve".into()], under: Vec::new() }
    }

    fn change(self, change: impl FnOnce(Settings) -> Settings) -> Self {
        Self { settings: change(self.settings), ..self }
    }

    /// Sets `service.<key>`.
    #[must_use]
    pub fn set(self, key: &str, value: &dyn std::fmt::Display) -> Self {
        self.change(|settings| settings.set(key, value))
    }

    /// Leaves `service.<key>` to its default.
    #[must_use]
    pub fn unset(self, key: &str) -> Self {
        self.change(|settings| settings.unset(key))
    }

    /// Sets an environment variable by its name.
    #[must_use]
    pub fn variable(self, name: &str, value: &str) -> Self {
        self.change(|settings| settings.variable(name, value))
    }

    /// Runs it under a resource limit in the syntax of prlimit(1), such as `--nofile=100`.
    #[must_use]
    pub fn limited(mut self, resource: &str) -> Self {
        if self.under.is_empty() {
            self.under.push("prlimit".to_owned());
        }
        self.under.push(resource.to_owned());
        self
    }

    /// Replaces the command `serve`, for [`run_to_end`](Self::run_to_end).
    #[must_use]
    pub fn command_line(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self
    }

    /// Runs it through another program, such as a tracer, which must exec it: signals go to the process that
    /// was started.
    #[must_use]
    pub fn under(mut self, program: &[&str]) -> Self {
        self.under = program.iter().map(|&word| word.to_owned()).collect();
        self
    }

    fn command(&self) -> Command {
        let mut command = match self.under.split_first() {
            None => Command::new(binary()),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary());
                command
            }
        };
        command.args(&self.arguments).current_dir(root());
        self.settings.apply(&mut command);
        command
    }

    /// Runs it to its end: another command than `serve`, or a start that must fail.
    pub fn run_to_end(&self) -> Output {
        self.command().output().expect("cxr-service runs")
    }

    /// Runs it to its end. Returns whether it succeeded, and its output.
    pub fn outcome(&self) -> (bool, String) {
        outcome(&self.run_to_end())
    }

    /// Runs it to its end with this standard input. Returns whether it succeeded, and its output.
    pub fn outcome_with_input(&self, input: &str) -> (bool, String) {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("cxr-service runs");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads its input");
        outcome(&child.wait_with_output().expect("our child"))
    }

    /// Starts it and waits until it listens.
    pub async fn start(&self) -> Server {
        let (command, log) = (self.command(), NamedTempFile::new().expect("a file"));
        let path = log.path().to_owned();
        let started = move || rig::service::serve(command, &path, Duration::from_secs(30));
        let started = tokio::task::spawn_blocking(started).await.expect("it does not panic");
        let (process, address) = started.unwrap_or_else(|error| panic!("{error:#}"));
        Server::new(process, address, Some(log))
    }

    /// Starts it with other standard streams, on a port that was free a moment ago, and waits until it is
    /// ready.
    pub async fn start_writing_to(&self, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Server {
        let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = address.expect("a free port");
        let mut command = self.command();
        command.env("CXR_SERVICE__HTTP__BIND", address.to_string()).stdout(stdout).stderr(stderr);
        // This also closes our copies of the streams: a pipe ends when the last process has closed it.
        let process = Process::spawn(command, None).unwrap_or_else(|error| panic!("{error:#}"));
        let server = Server::new(process, address, None);
        server.wait_ready(true).await;
        server
    }

    /// Starts it and waits until it is ready.
    pub async fn start_ready(&self) -> Server {
        let server = self.start().await;
        server.wait_ready(true).await;
        server
    }
}

/// Whether a program succeeded, and its output.
pub(crate) fn outcome(output: &Output) -> (bool, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// A running server. It is killed when dropped.
pub struct Server {
    process: Process,
    /// Deleted with the server.
    _log: Option<NamedTempFile>,
    /// `http://127.0.0.1:PORT`
    pub base: String,
    /// A client without a token.
    pub client: Client,
}

impl Server {
    fn new(process: Process, address: SocketAddr, log: Option<NamedTempFile>) -> Self {
        Self { process, _log: log, base: format!("http://{address}"), client: Client::new() }
    }

    /// A ready server on a database of its own.
    pub async fn ready() -> Self {
        Options::on(&shared().database()).start_ready().await
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits up to 5 s for a log line with this text: the log lags behind the answer.
    pub async fn logged(&self, text: &str) -> Option<String> {
        for _ in 0..100 {
            if let Some(line) = self.log().lines().find(|line| line.contains(text)) {
                return Some(line.to_owned());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// The address for operators, `host:port`, from the log.
    pub fn operators_address(&self) -> String {
        let log = self.log();
        let line =
            log.lines().find(|line| line.contains("listening (operations)")).expect("a second address");
        let event: Value = serde_json::from_str(line).expect("JSON");
        let fields = event.get("fields").unwrap_or(&event);
        fields["address"].as_str().expect("an address").to_owned()
    }

    /// Polls until a condition holds, for at most `seconds`; a failure shows the log.
    pub async fn eventually(&self, seconds: u64, message: &str, condition: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !condition().await {
            assert!(begun.elapsed() < Duration::from_secs(seconds), "{message}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Address as `host:port`.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// Waits until `/readyz` returns 200 (`ready`) or 503.
    pub async fn wait_ready(&self, ready: bool) {
        let wanted = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let start = Instant::now();
        loop {
            let found = self.client.get(format!("{}/readyz", self.base)).send().await;
            if found.as_ref().is_ok_and(|response| response.status() == wanted) {
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "ready is never {ready}: {found:?}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A GET with a token of the given scopes.
    pub async fn get(&self, path: &str, scope: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(tokens::token(scope));
        request.send().await.expect("an answer")
    }

    /// The OpenAPI document that it serves.
    pub async fn document(&self) -> Value {
        let response =
            self.client.get(format!("{}/openapi.json", self.base)).send().await.expect("an answer");
        response.json().await.expect("JSON")
    }

    /// A POST to `/v1/predictions`, without a token and a body.
    pub fn prediction(&self, query: &str) -> RequestBuilder {
        self.client.post(format!("{}/v1/predictions{query}", self.base))
    }

    /// Sends `n` phantoms, each of which must be answered with 200.
    pub async fn post_phantoms(&self, n: u64) {
        for seed in 0..n {
            assert_eq!(self.post("", images::jpeg(seed, false)).await.status(), 200);
        }
    }

    /// POSTs an image as the raw body.
    pub async fn post(&self, query: &str, image: Vec<u8>) -> Response {
        let request = self.prediction(query);
        request.bearer_auth(tokens::token("predict")).body(image).send().await.expect("an answer")
    }

    /// The value of the metric `name{labels}`, written as `/metrics` exports it.
    pub async fn metric(&self, line: &str) -> Option<f64> {
        let text = self.client.get(format!("{}/metrics", self.base)).send().await.ok()?.text().await.ok()?;
        text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok())
    }

    /// Peak resident memory in bytes.
    pub fn peak_memory_bytes(&self) -> u64 {
        self.status_bytes("VmHWM")
    }

    /// Current resident memory in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.status_bytes("VmRSS")
    }

    fn status_bytes(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(key)).expect("the kernel reports it");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("kB") * 1024
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        let sent =
            Command::new("kill").args([&format!("-{signal}"), &self.process.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits up to a minute for its end.
    pub async fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.child().try_wait().expect("our child") {
                return status;
            }
            assert!(start.elapsed() < Duration::from_mins(1), "it does not end:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Asserts that an answer is a problem document (RFC 9457) with this status and type, and returns it.
pub async fn problem(response: Response, status: u16, code: &str) -> Value {
    let found = response.status().as_u16();
    let media = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let text = response.text().await.expect("a body");
    assert_eq!((found, media.as_str()), (status, "application/problem+json"), "{text}");
    let problem: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(problem["type"], format!("urn:cxr:problem:{code}"), "{text}");
    assert_eq!(problem["status"], status);
    for field in ["title", "detail", "request_id"] {
        assert!(problem[field].as_str().is_some_and(|value| !value.is_empty()), "no {field}: {text}");
    }
    problem
}
