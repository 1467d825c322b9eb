//! Tracking as MLflow sees it: a real server that is killed and restarted, and the local store as MLflow
//! reads it.

use crate::support::{Workbench, configure, fail_with, read, repository, succeed, succeed_with, wait_for};
use cxr_trainer::tracking::spool::Spool;
use cxr_trainer::tracking::{Event, Status};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn mlflow() -> Option<PathBuf> {
    let python = std::env::var_os("CXR_MLFLOW_PYTHON").filter(|python| !python.is_empty()).map(PathBuf::from);
    if python.is_none() {
        eprintln!("skipped: no MLflow (CXR_MLFLOW_PYTHON is not set; scripts/venv.sh mlflow prints it)");
    }
    python
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn track_with(workbench: &Workbench, keys: &str) {
    configure(workbench, "tracking: { ", &format!("tracking: {{ {keys}, "));
}

/// A real MLflow server that ends with the test.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start(python: &Path, folder: &Path, port: u16) -> Self {
        let process = Command::new(python)
            .args(["-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"])
            .args(["--port", &port.to_string()])
            .args(["--backend-store-uri", &format!("sqlite:///{}/mlflow.db", folder.display())])
            .args(["--artifacts-destination", &folder.join("artefacts").display().to_string()])
            .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let server = Self { process, url: format!("http://127.0.0.1:{port}") };
        wait_for("MLflow", || ureq::get(format!("{}/health", server.url)).call().ok().map(drop));
        server
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let answer = ureq::post(format!("{}/api/2.0/mlflow/{path}", self.url)).send_json(body);
        answer.unwrap().body_mut().read_json().unwrap()
    }

    fn get(&self, path: &str) -> Value {
        let answer = ureq::get(format!("{}/api/2.0/mlflow/{path}", self.url)).call();
        answer.unwrap().body_mut().read_json().unwrap()
    }

    fn runs(&self) -> Vec<Value> {
        let path = "api/2.0/mlflow/experiments/get-by-name?experiment_name=cxr-pneumonia";
        let Ok(mut experiment) = ureq::get(format!("{}/{path}", self.url)).call() else { return Vec::new() };
        let experiment: Value = experiment.body_mut().read_json().unwrap();
        let id = &experiment["experiment"]["experiment_id"];
        let found = self.post("runs/search", &json!({ "experiment_ids": [id] }));
        found["runs"].as_array().cloned().unwrap_or_default()
    }

    fn steps(&self, run: &str, metric: &str) -> Vec<i64> {
        let history = self.get(&format!("metrics/get-history?run_id={run}&metric_key={metric}"));
        let points = history["metrics"].as_array().cloned().unwrap_or_default();
        points.iter().map(|point| point["step"].as_i64().unwrap_or(0)).collect()
    }
}

impl Drop for Server {
    /// SIGKILL to the server and all its child processes.
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        Command::new("kill").args(["-KILL", "--", &group]).status().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn a_killed_server_loses_no_event_and_receives_none_twice() {
    const N_EPOCHS: i64 = 8;
    let Some(python) = mlflow() else { return };
    let workbench = Workbench::new(40, N_EPOCHS as usize);
    let port = free_port();
    track_with(&workbench, &format!("server: 'http://127.0.0.1:{port}', flush_seconds: 5"));
    let server = Server::start(&python, workbench.path(), port);
    let training = workbench.command("train").stdout(Stdio::piped()).spawn().unwrap();
    wait_for("metrics of an epoch", || {
        server.runs().first().filter(|run| !run["data"]["metrics"].is_null()).map(drop)
    });
    drop(server);
    let output = training.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.contains("kept in"), "{printed}");
    fail_with(&mut workbench.command("track"), &["events not sent"]);

    let server = Server::start(&python, workbench.path(), port);
    succeed_with(&mut workbench.command("track"), &["waiting    0 events"]);
    let run = check_run(&server, N_EPOCHS);

    // As if the trainer had been killed before it recorded what the server received.
    std::fs::remove_file(workbench.run().join("tracking/sent.json")).unwrap();
    succeed(&mut workbench.command("track"));
    assert_eq!(check_run(&server, N_EPOCHS), run);

    register_twice(&workbench);
    let version = server.get("registered-models/alias?name=cxr-pneumonia&alias=candidate");
    let version = &version["model_version"];
    assert_eq!((&version["version"], &version["run_id"]), (&json!("1"), &json!(run)), "{version}");
    let manifest = std::fs::read(repository().join("models/default/bundle.json")).unwrap();
    let digest = json!({ "key": "cxr_bundle_sha256", "value": cxr::bundle::sha256_hex(&manifest) });
    assert!(version["tags"].as_array().unwrap().contains(&digest), "{version}");
}

fn register_twice(workbench: &Workbench) {
    for _ in 0..2 {
        let mut register = workbench.command_without_data("register");
        register.arg(repository().join("models/default")).arg("--run").arg(workbench.run());
        succeed_with(&mut register, &["as version 1 of cxr-pneumonia, alias candidate"]);
    }
}

/// Expects one run with every epoch once, its parameters and its files; returns its id.
fn check_run(server: &Server, n_epochs: i64) -> String {
    let runs = server.runs();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let (info, data) = (&runs[0]["info"], &runs[0]["data"]);
    assert_eq!((&info["status"], &info["run_name"]), (&json!("FINISHED"), &json!("run")));
    let run = info["run_id"].as_str().unwrap();
    for metric in ["train_loss", "select_loss", "select_auc", "learning_rate"] {
        assert_eq!(server.steps(run, metric), (1..=n_epochs).collect::<Vec<_>>(), "{metric}");
    }
    let parameters = data["params"].as_array().unwrap();
    let parameter =
        |key: &str| parameters.iter().find(|parameter| parameter["key"] == key).unwrap()["value"].clone();
    assert_eq!(parameter("training.epochs"), json!(n_epochs.to_string()));
    assert_eq!(parameter("preprocess.width"), json!("64"));
    let tags = texts(&data["tags"], "key");
    for tag in ["cxr_run", "split_sha256", "dataset_sha256", "config_sha256", "mlflow.source.name"] {
        assert!(tags.contains(&tag), "{tag} is not among {tags:?}");
    }
    let files = server.get(&format!("artifacts/list?run_id={run}"));
    let files = texts(&files["files"], "path");
    for file in ["config.yaml", "curves.svg", "environment.json", "metrics.csv"] {
        assert!(files.contains(&file), "{file} is not among {files:?}");
    }
    assert!(!files.contains(&"folds.json"), "file names may identify patients: {files:?}");
    run.to_owned()
}

fn texts<'a>(items: &'a Value, key: &str) -> Vec<&'a str> {
    items.as_array().unwrap().iter().filter_map(|item| item[key].as_str()).collect()
}

/// Prints what MLflow's own client finds in a store.
const READ_STORE: &str = r#"
import json, sys
from mlflow.tracking import MlflowClient
client = MlflowClient(sys.argv[1], sys.argv[1])
experiment = client.get_experiment_by_name("cxr-pneumonia")
runs = client.search_runs([experiment.experiment_id])
run = min(runs, key=lambda run: run.info.start_time)
history = {key: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)] for key in run.data.metrics}
version = client.get_model_version_by_alias("cxr-pneumonia", "candidate")
print(json.dumps({
    "runs": len(runs), "status": run.info.status, "name": run.info.run_name, "epochs": run.data.params["training.epochs"],
    "steps": [step for step, _ in history["select_auc"]], "files": [f.path for f in client.list_artifacts(run.info.run_id)],
    "versions": len(client.search_model_versions("name='cxr-pneumonia'")), "version": str(version.version),
    "semantic": version.tags["cxr_version"], "source": version.source,
}))
"#;

#[test]
fn an_unreachable_server_changes_nothing_and_the_local_store_takes_over() {
    const SECRET: &str = "swordfish-swordfish";
    let workbench = Workbench::new(40, 2);
    let config = read(workbench.config());
    track_with(&workbench, &format!("server: 'http://127.0.0.1:{}'", free_port()));
    let printed = succeed(workbench.command("train").env("MLFLOW_TRACKING_TOKEN", SECRET));
    assert!(printed.contains("experiments/get-by-name") && printed.contains("kept in"), "{printed}");
    assert!(!printed.contains(SECRET), "{printed}");

    // Without a server, everything goes to the local store, including the unsent events.
    std::fs::write(workbench.config(), config).unwrap();
    let printed = succeed(&mut workbench.command("track"));
    assert!(printed.contains("waiting    0 events"), "{printed}");
    let again = succeed(&mut workbench.command("track"));
    assert_eq!(printed, again, "nothing is sent twice");
    let known = stored_metrics(&workbench);
    std::fs::remove_file(workbench.run().join("tracking/sent.json")).unwrap();
    succeed(&mut workbench.command("track"));
    assert_eq!(stored_metrics(&workbench), known, "sending again changes nothing");
    register_twice(&workbench);
    let Some(python) = mlflow() else { return };
    let store = format!("file://{}", workbench.path().join("mlruns").display());
    let mut reader = Command::new(python);
    reader.args(["-c", READ_STORE, &store]).env("MLFLOW_ALLOW_FILE_STORE", "true");
    let output = reader.current_dir(workbench.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({
        "runs": 1, "status": "FINISHED", "name": "run", "epochs": "2", "steps": [1, 2], "versions": 1, "version": "1",
    });
    for (key, expected) in expected.as_object().unwrap() {
        assert_eq!(&found[key], expected, "{key}: {found}");
    }
    let source = found["source"].as_str().unwrap().strip_prefix("file://").unwrap();
    assert!(Path::new(source).join("model.onnx").is_file(), "{source}");
    assert!(found["files"].as_array().unwrap().contains(&json!("curves.svg")), "{found}");
}

fn stored_metrics(workbench: &Workbench) -> Vec<String> {
    let events = read(workbench.run().join("tracking/events.ndjson"));
    let first: Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    let experiments = std::fs::read_dir(workbench.path().join("mlruns")).unwrap();
    let run = experiments.map(|entry| entry.unwrap().path().join(first["id"].as_str().unwrap()));
    let run = run.filter(|run| run.is_dir()).collect::<Vec<_>>();
    assert_eq!(run.len(), 1, "{run:?}");
    let text = read(run[0].join("metrics/select_auc"));
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{text}");
    lines
}

#[test]
fn a_torn_line_is_skipped_alone() {
    let folder = tempfile::TempDir::new().unwrap();
    let spool = Spool::open(folder.path().join("spool")).unwrap();
    let status = |time_ms| Event::Status { status: Status::Running, time_ms };
    spool.append(&[status(1)]).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(spool.file()).unwrap();
    file.write_all(b"{\"event\": \"sta").unwrap();
    assert_eq!(spool.lines(0).unwrap().len(), 1, "an incomplete line is not read");
    spool.append(&[status(2)]).unwrap();
    let lines = spool.lines(0).unwrap();
    assert!(lines.len() == 3 && lines[1].event.is_err(), "{lines:?}");
    assert_eq!(spool.lines(lines[1].end).unwrap(), lines[2..]);
    assert_eq!(spool.events().unwrap(), [status(1), status(2)]);
}

#[test]
fn a_refused_request_is_reported_with_its_response() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = r#"{"error_code": "PERMISSION_DENIED", "message": "not for you"}"#;
            let head = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close";
            let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    let workbench = Workbench::new(1, 1);
    track_with(&workbench, &format!("server: 'http://127.0.0.1:{port}'"));
    let mut register = workbench.command_without_data("register");
    register.arg(repository().join("models/default")).arg("--run").arg(workbench.path().join("registration"));
    let printed =
        succeed(register.env("MLFLOW_TRACKING_USERNAME", "somebody").env("MLFLOW_TRACKING_PASSWORD", "hush"));
    for expected in
        [&format!("http://127.0.0.1:{port}/api/2.0/mlflow"), "403", "not for you", "MLFLOW_TRACKING_TOKEN"]
    {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    assert!(printed.contains("not registered yet") && !printed.contains("hush"), "{printed}");

    track_with(&workbench, "alias: 'a/b'");
    fail_with(workbench.command("train").env_remove("MLFLOW_TRACKING_TOKEN"), &["trainer.tracking.alias"]);
}
