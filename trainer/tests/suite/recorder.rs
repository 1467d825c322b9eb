//! A stand-in for MLflow that records everything it receives.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub(crate) struct Recorder {
    pub(crate) url: String,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    /// Returns the first of `answers` whose text occurs in the request's path; otherwise answers like an
    /// empty server.
    pub(crate) fn start(answers: &[(&'static str, Value)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sent = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&sent);
        let mut answers = answers.to_vec();
        let run = json!({ "info": { "run_id": "abc", "artifact_uri": "mlflow-artifacts:/1/abc/artifacts" } });
        answers.extend([
            ("experiments/get-by-name", json!({ "experiment": { "experiment_id": "1" } })),
            ("runs/create", json!({ "run": run })),
            ("runs/get", json!({ "run": run })),
            ("model-versions/create", json!({ "model_version": { "version": "1" } })),
            ("", json!({})),
        ]);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &answers, &kept);
            }
        });
        Self { url, sent }
    }

    pub(crate) fn sent(&self) -> Vec<u8> {
        self.sent.lock().unwrap().clone()
    }
}

fn answer(stream: TcpStream, answers: &[(&str, Value)], kept: &Mutex<Vec<u8>>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "half a request: {head}");
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let request = head.lines().next().unwrap();
    let (_, found) = answers.iter().find(|(path, _)| request.contains(path)).unwrap();
    let text = found.to_string();
    let mut kept = kept.lock().unwrap();
    kept.extend_from_slice(head.as_bytes());
    kept.extend_from_slice(&body);
    drop(kept);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    write!(reader.into_inner(), "{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len()).unwrap();
}
