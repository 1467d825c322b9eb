//! The real server as a process of its own, with its log, its port and a client.

use crate::postgres::shared;
use crate::{root, tokens};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// `cxr-service`, built into the same target directory as this test.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let path = test.parent().and_then(|deps| deps.parent()).expect("target/release/deps").join("cxr-service");
    assert!(path.exists(), "{} is not built: cargo build --release --bins", path.display());
    path
}

/// What a server is started with.
pub struct Options {
    environment: BTreeMap<String, String>,
    arguments: Vec<String>,
    /// What runs the program, with its own arguments; nothing where it runs as it is.
    under: Vec<String>,
}

impl Options {
    /// The development profile with the default bundle, on a free port, on a database.
    pub fn on(database_url: &str) -> Self {
        let environment = [
            ("CXR_PROFILE", "development"),
            ("CXR_SERVICE__HTTP__BIND", "127.0.0.1:0"),
            ("CXR_SERVICE__DATABASE__URL", database_url),
            ("CXR_SERVICE__TELEMETRY__LOG_FORMAT", "json"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { environment, arguments: vec!["serve".into()], under: Vec::new() }
            .set("model.bundle", &root().join("models/default").display())
            // One client stands for all of them in most tests.
            .set("limits.client_max_in_flight", &64)
    }

    /// Leaves `service.<key>` to its default.
    #[must_use]
    pub fn unset(mut self, key: &str) -> Self {
        self.environment.remove(&variable(key));
        self
    }

    /// Runs it under a limit as prlimit takes it, such as `--nofile=100`.
    #[must_use]
    pub fn limited(mut self, resource: &str) -> Self {
        if self.under.is_empty() {
            self.under.push("prlimit".to_owned());
        }
        self.under.push(resource.to_owned());
        self
    }

    /// The production profile with a folder of configuration, on a free port.
    pub fn production(config: &std::path::Path) -> Self {
        let environment = [
            ("CXR_PROFILE", "production"),
            ("CXR_CONFIG_DIR", config.to_str().expect("UTF-8")),
            ("CXR_SERVICE__HTTP__BIND", "127.0.0.1:0"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { environment, arguments: vec!["serve".into()], under: Vec::new() }
    }

    /// With this command in place of `serve`, for [`run_to_end`](Self::run_to_end).
    #[must_use]
    pub fn command_line(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self
    }

    /// Sets `service.<key>`.
    #[must_use]
    pub fn set(mut self, key: &str, value: &dyn std::fmt::Display) -> Self {
        self.environment.insert(variable(key), value.to_string());
        self
    }

    /// Sets a variable as it is.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Runs it by another program, such as a tracer; that must leave it the process that was started.
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
        for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
            if name.starts_with("CXR_SERVICE__") || name == "CXR_PROFILE" || name == "CXR_CONFIG_DIR" {
                command.env_remove(name);
            }
        }
        command.envs(&self.environment);
        command
    }

    /// Runs it to its end, for starts that must fail.
    pub fn run_to_end(&self) -> Output {
        self.command().output().expect("cxr-service runs")
    }

    /// Starts it and waits until it listens.
    pub async fn start(&self) -> Server {
        let mut child =
            self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cxr-service runs");
        let log = Arc::new(Mutex::new(String::new()));
        let (listening, address) = mpsc::channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
        for stream in streams {
            let (log, listening) = (log.clone(), listening.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Some(address) = listening_address(&line) {
                        let _ = listening.send(address);
                    }
                    let mut log = log.lock().expect("the log's writers do not panic");
                    log.push_str(&line);
                    log.push('\n');
                }
            });
        }
        drop(listening);
        let address =
            tokio::task::spawn_blocking(move || address.recv_timeout(Duration::from_secs(30))).await;
        let Ok(Ok(address)) = address else {
            let _ = child.kill();
            panic!("the server does not listen:\n{}", log.lock().expect("the log"));
        };
        Server { child, log, base: format!("http://{address}"), client: Client::new() }
    }

    /// Starts it with another standard output and standard error, on a port that was free a moment ago, and waits until it is ready.
    pub async fn start_writing_to(&self, output: impl Into<Stdio>, log: impl Into<Stdio>) -> Server {
        let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = address.expect("a free port");
        let mut command = self.command();
        command.env("CXR_SERVICE__HTTP__BIND", address.to_string()).stdout(output).stderr(log);
        let child = command.spawn().expect("cxr-service runs");
        // Here and not in the child: a pipe has no reader or writer any more when the last process has closed it.
        drop(command);
        let server =
            Server { child, log: Arc::default(), base: format!("http://{address}"), client: Client::new() };
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

/// The variable of `service.<key>`.
fn variable(key: &str) -> String {
    format!("CXR_SERVICE__{}", key.replace('.', "__").to_uppercase())
}

/// The server says where it listens in one log line.
fn listening_address(line: &str) -> Option<String> {
    let event: Value = serde_json::from_str(line).ok()?;
    let fields = event.get("fields").unwrap_or(&event);
    (fields["message"] == "listening").then(|| fields["address"].as_str().map(str::to_owned))?
}

/// A running server. It is killed when dropped.
pub struct Server {
    child: Child,
    log: Arc<Mutex<String>>,
    /// `http://127.0.0.1:PORT`
    pub base: String,
    /// A client without a token.
    pub client: Client,
}

impl Server {
    /// A ready server on a database of its own.
    pub async fn ready() -> Self {
        Options::on(&shared().database()).start_ready().await
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }

    /// The first line of the log with this text, once it is written: a log is a moment behind the answer.
    pub async fn logged(&self, text: &str) -> Option<String> {
        for _ in 0..100 {
            if let Some(line) = self.log().lines().find(|line| line.contains(text)) {
                return Some(line.to_owned());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// Address as `host:port`.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// Waits for `/readyz` to say so.
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
                "ready is not {ready}: {found:?}\n{}",
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

    /// The API description that it serves.
    pub async fn document(&self) -> Value {
        let response =
            self.client.get(format!("{}/openapi.json", self.base)).send().await.expect("an answer");
        response.json().await.expect("JSON")
    }

    /// POSTs an image as the raw body.
    pub async fn post(&self, query: &str, image: Vec<u8>) -> Response {
        let request = self.client.post(format!("{}/v1/predictions{query}", self.base));
        request.bearer_auth(tokens::token("predict")).body(image).send().await.expect("an answer")
    }

    /// The value of a metric line, `name{labels}` as exported.
    pub async fn metric(&self, line: &str) -> Option<f64> {
        let text = self.client.get(format!("{}/metrics", self.base)).send().await.ok()?.text().await.ok()?;
        text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok())
    }

    /// Most memory it has ever had resident, in bytes.
    pub fn peak_memory_bytes(&self) -> u64 {
        self.status_bytes("VmHWM")
    }

    /// Memory that it has resident now, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.status_bytes("VmRSS")
    }

    fn status_bytes(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(key)).expect("the kernel reports it");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("kB") * 1024
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(start.elapsed() < Duration::from_mins(1), "it does not end:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Checks that an answer is a problem document with this status and type, and returns it.
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
