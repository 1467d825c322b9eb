//! Tokens of a real OpenID provider: its keys are fetched, rotate under load, and stay cached while it is
//! down.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use system_tests::server::{Options, Server, problem};
use system_tests::{images, npm, postgres, tokens};
use tempfile::TempDir;

/// The algorithms that it signs with.
const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// The provider, in a process of its own.
struct Provider {
    child: Child,
    base: String,
    client: reqwest::Client,
}

impl Provider {
    /// Starts it; `None` without Node.js.
    fn start() -> Option<Self> {
        let folder = npm::install("oidc")?;
        // Node.js sometimes deadlocks at start.
        let (child, port) =
            (0..3).find_map(|_| Self::listening(&folder)).expect("the provider listens within 60 s");
        Some(Self { child, base: format!("http://127.0.0.1:{port}"), client: reqwest::Client::new() })
    }

    /// The process and its port, unless it takes too long to print it.
    fn listening(folder: &Path) -> Option<(Child, String)> {
        let mut child = Command::new("node")
            .arg("provider.mjs")
            .current_dir(folder)
            .env("PORT", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, port) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(port) = line.strip_prefix("listening ") {
                    drop(sender.send(port.to_owned()));
                }
            }
        });
        let Ok(port) = port.recv_timeout(Duration::from_secs(20)) else {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        };
        Some((child, port))
    }

    async fn token(&self, algorithm: &str, scope: &str) -> String {
        let form = format!("grant_type=client_credentials&scope={}", scope.replace(' ', "%20"));
        let request = self.client.post(format!("{}/token", self.base)).basic_auth(algorithm, Some("secret"));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    async fn get(&self, path: &str) -> String {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// A service that trusts it.
    fn trusting(&self, database: &str) -> (Options, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let keys = format!("service:\n  auth: {{keys: [{{jwks_url: {}/jwks}}]}}\n", self.base);
        std::fs::write(folder.path().join("development.yaml"), keys).unwrap();
        let options = Options::on(database)
            .variable("CXR_CONFIG_DIR", &folder.path().display().to_string())
            .set("auth.issuer", &self.base)
            .set("auth.audience", &"urn:cxr")
            .set("auth.jwks.min_interval_ms", &200);
        (options, folder)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn post(server: &Server, token: &str) -> reqwest::Response {
    let request = server.prediction("").bearer_auth(token);
    request.body(images::jpeg(1, true)).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_under_load_and_no_request_is_lost() {
    let Some(provider) = Provider::start() else { return };
    let (options, _folder) = provider.trusting(&postgres::shared().database());
    let server = options.start_ready().await;
    let first = provider.token("RS256", "predict").await;
    for algorithm in ALGORITHMS {
        assert_eq!(
            post(&server, &provider.token(algorithm, "predict").await).await.status(),
            200,
            "{algorithm}"
        );
    }
    problem(post(&server, &provider.token("RS256", "audit:read").await).await, 403, "forbidden").await;

    let (server, provider) = (Arc::new(server), Arc::new(provider));
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|n| {
            let (server, provider, over) = (Arc::clone(&server), Arc::clone(&provider), Arc::clone(&over));
            tokio::spawn(async move {
                let mut answered = 0;
                while !over.load(Ordering::Relaxed) {
                    let algorithm = ALGORITHMS[(n + answered) % ALGORITHMS.len()];
                    let answer = post(&server, &provider.token(algorithm, "predict").await).await;
                    assert_eq!(answer.status(), 200, "after {answered} answers");
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        provider.get("/rotate").await;
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    over.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for client in clients {
        answered += client.await.unwrap();
    }
    assert!(answered > 20, "{answered} answers");
    // Keys that the provider no longer publishes are no longer accepted.
    problem(post(&server, &first).await, 401, "unauthenticated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_do_not_flood_the_provider_and_known_keys_work_without_it() {
    let Some(mut provider) = Provider::start() else { return };
    let (options, _folder) = provider.trusting(&postgres::shared().database());
    let options = options.set("auth.jwks.refresh_ms", &1000).set("auth.jwks.keep_ms", &8000);
    let server = options.start_ready().await;
    let token = provider.token("ES256", "predict").await;

    let before: u64 = provider.get("/fetches").await.parse().unwrap();
    let begun = Instant::now();
    let unknown = {
        let folder = tempfile::tempdir().unwrap();
        tokens::KeyPair::new(jsonwebtoken::Algorithm::ES256, folder.path())
            .sign(&tokens::claims("x", "predict"), Some("unknown"))
    };
    let refused: Vec<_> = (0..40).map(|_| post(&server, &unknown)).collect();
    for answer in futures_util::future::join_all(refused).await {
        // Only some requests may wait for the provider; the others get 503.
        match answer.status().as_u16() {
            503 => problem(answer, 503, "keys_unavailable").await,
            _ => problem(answer, 401, "unauthenticated").await,
        };
    }
    let fetches = provider.get("/fetches").await.parse::<u64>().unwrap() - before;
    let most = begun.elapsed().as_millis() as u64 / 200 + 2;
    assert!(fetches <= most, "fetched the keys {fetches} times in {:?}", begun.elapsed());

    provider.child.kill().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        post(&server, &token).await.status(),
        200,
        "known keys are accepted while the provider is down"
    );
    assert!(server.logged("fetching the key set failed").await.is_some());
    server.wait_ready(false).await;
    // The token may be good, but the service cannot check it.
    let answer = post(&server, &token).await;
    assert_eq!(answer.headers()["retry-after"], "5");
    problem(answer, 503, "keys_unavailable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_provider_the_service_starts_and_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let keys = "service:\n  auth: {keys: [{jwks_url: 'http://127.0.0.1:9/jwks'}]}\n";
    std::fs::write(folder.path().join("development.yaml"), keys).unwrap();
    let options = Options::on(&postgres::shared().database());
    let server = options.variable("CXR_CONFIG_DIR", &folder.path().display().to_string()).start().await;
    server.wait_ready(false).await;
    let answer = server.client.get(format!("{}/readyz", server.base)).send().await.unwrap();
    let problem = problem(answer, 503, "not_ready").await;
    assert_eq!(problem["checks"][0]["check"], "keys", "{problem}");
    // The endpoint is public, so it names the source and not its URL.
    let text = problem.to_string();
    assert!(text.contains("service.auth.keys[0]") && !text.contains("127.0.0.1"), "{text}");
    let log = server.log();
    assert!(log.contains("http://127.0.0.1:9/jwks"), "{log}");
    // Development tokens are still checked with the secret.
    assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_keys_does_not_wait_for_an_unresponsive_provider() {
    // It accepts connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}/jwks", silent.local_addr().unwrap());
    let keys = format!("service:\n  auth: {{keys: [{{jwks_url: '{url}'}}]}}\n");
    std::fs::write(folder.path().join("development.yaml"), keys).unwrap();
    let options = Options::on(&postgres::shared().database()).set("auth.jwks.timeout_ms", &4000);
    let options = options.set("http.refusal_delay_ms", &0);
    let server = options.variable("CXR_CONFIG_DIR", &folder.path().display().to_string()).start().await;
    let unknown = tokens::KeyPair::new(jsonwebtoken::Algorithm::ES256, folder.path())
        .sign(&tokens::claims("x", "predict"), Some("unknown"));
    let calls = (0..200).map(|_| async {
        let begun = Instant::now();
        // Cheap requests only: the client's own time would be measured as the service's.
        let request = server.client.get(format!("{}/v1/model", server.base)).bearer_auth(&unknown);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["retry-after"], "5");
        problem(answer, 503, "keys_unavailable").await;
        begun.elapsed()
    });
    let took = futures_util::future::join_all(calls).await;
    let waited = took.iter().filter(|took| **took > Duration::from_millis(1500)).count();
    println!("{waited} of {} waited, {:?} at most", took.len(), took.iter().max());
    assert!(waited <= 40, "{waited} waited");
    let counted = server.metric("cxr_refusals_total{cause=\"keys_unavailable\"}").await;
    assert_eq!(counted, Some(200.0));
}
