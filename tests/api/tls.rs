//! TLS in the service itself, tested with curl, and a separate address for operators.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use system_tests::openssl::{self, NEW_KEY};
use system_tests::server::{Options, Server};
use system_tests::{postgres, tokens};

/// Creates a CA and, for each name, a certificate in `NAME.pem` and its key in `NAME.key`.
fn certificates(folder: &Path, names: &[&str]) {
    openssl::run(
        folder,
        &format!("req -x509 {NEW_KEY} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"),
    );
    for name in names {
        openssl::run(folder, &format!("req {NEW_KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
        openssl::run(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile names"
            ),
        );
    }
}

/// Status and HTTP version of an answer; 000 if there is none.
fn curl(folder: &Path, arguments: &[&str]) -> String {
    let done = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--max-time", "10"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8(done.stdout).unwrap()
}

fn wait_until_ready(folder: &Path, arguments: &[&str], server: &Server) {
    let begun = Instant::now();
    while !curl(folder, arguments).starts_with("200") {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_offers_http_2_and_can_require_client_certificates() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), &["server", "client"]);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let yaml = |client: &str| {
        let (certificate, key) = (file("server.pem"), file("server.key"));
        format!(
            "service: {{http: {{tls: {{certificate_file: {certificate}, private_key_file: {key}, client_authorities_file: {client}}}}}}}"
        )
    };
    std::fs::write(folder.path().join("development.yaml"), yaml("null")).unwrap();
    let options = || {
        let options = Options::on(&postgres::shared().database());
        options.variable("CXR_CONFIG_DIR", &folder.path().display().to_string())
    };
    let server = options().start().await;
    let ready = format!("https://{}/readyz", server.address());
    wait_until_ready(folder.path(), &["--cacert", "ca.pem", &ready], &server);
    assert_eq!(curl(folder.path(), &["--cacert", "ca.pem", "--http2", &ready]), "200 2");
    assert_eq!(curl(folder.path(), &["--cacert", "ca.pem", "--http1.1", &ready]), "200 1.1");
    assert!(curl(folder.path(), &["--cacert", "ca.pem", "--tls-max", "1.1", &ready]).starts_with("000"));
    assert!(curl(folder.path(), &[&ready]).starts_with("000"), "curl accepts a certificate of an unknown CA");
    assert!(curl(folder.path(), &[&ready.replace("https", "http")]).starts_with("000"));

    std::fs::write(folder.path().join("development.yaml"), yaml(&file("ca.pem"))).unwrap();
    let server = options().start().await;
    let ready = format!("https://{}/readyz", server.address());
    let shown = ["--cacert", "ca.pem", "--cert", "client.pem", "--key", "client.key", &ready];
    wait_until_ready(folder.path(), &shown, &server);
    assert!(curl(folder.path(), &["--cacert", "ca.pem", &ready]).starts_with("000"));

    std::fs::write(folder.path().join("server.key"), "nothing").unwrap();
    let refused = options().run_to_end();
    let output = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && output.contains("holds no private key in PEM"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_for_operators_uses_the_same_tls_files_or_its_own() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), &["server", "client"]);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let files = |client: &str| {
        let (certificate, key) = (file("server.pem"), file("server.key"));
        format!(
            "{{certificate_file: {certificate}, private_key_file: {key}, client_authorities_file: {client}}}"
        )
    };
    let options = |yaml: String| {
        std::fs::write(folder.path().join("development.yaml"), format!("service: {{http: {{{yaml}}}}}"))
            .unwrap();
        let options = Options::on(&postgres::shared().database());
        options.variable("CXR_CONFIG_DIR", &folder.path().display().to_string())
    };
    let both = |yaml| options(yaml).set("http.operations_bind", &"127.0.0.1:0");
    let shown = |url: &str| {
        ["--cacert", "ca.pem", "--cert", "client.pem", "--key", "client.key", url].map(str::to_owned)
    };
    let fetched =
        |arguments: &[String]| curl(folder.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>());

    // The same files: both addresses require a client certificate.
    let server = both(format!("tls: {}", files(&file("ca.pem")))).start().await;
    let metrics = format!("https://{}/metrics", server.operators_address());
    assert_eq!(fetched(&shown(&metrics)), "200 2");
    assert!(
        curl(folder.path(), &["--cacert", "ca.pem", &metrics]).starts_with("000"),
        "a client without a certificate is answered"
    );
    assert!(
        curl(folder.path(), &[&metrics.replace("https", "http")]).starts_with("000"),
        "a request without TLS is answered"
    );
    let text =
        Command::new("curl").args(shown(&metrics)).arg("-s").current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("cxr_connections_ended_total{cause=\"tls\"} 2"), "{text}");

    // Its own files: the second address requires none.
    let yaml = format!("tls: {}, operations_tls: {}", files(&file("ca.pem")), files("null"));
    let server = both(yaml.clone()).start().await;
    let live = |address: &str| format!("https://{address}/livez");
    let operators = live(&server.operators_address());
    assert_eq!(curl(folder.path(), &["--cacert", "ca.pem", &operators]), "200 2");
    assert!(curl(folder.path(), &["--cacert", "ca.pem", &live(server.address())]).starts_with("000"));

    // TLS files without the address are an error.
    let refused = options(yaml).run_to_end();
    let output = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && output.contains("service.http.operations_tls: "), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_routes_can_have_a_separate_address() {
    let options = Options::on(&postgres::shared().database());
    let server = options.set("http.operations_bind", &"127.0.0.1:0").start_ready().await;
    let operators = format!("http://{}", server.operators_address());
    let status = |base: &str, method: reqwest::Method, path: &str| {
        let request = server.client.request(method, format!("{base}{path}"));
        let request = request.bearer_auth(tokens::token("admin audit:read"));
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let (get, post) = (reqwest::Method::GET, reqwest::Method::POST);
    for (path, method, at_clients, at_operators) in [
        ("/metrics", &get, 404, 200),
        ("/v1/model/reload", &post, 404, 200),
        ("/v1/predictions", &get, 200, 404),
        ("/v1/model", &get, 200, 404),
        ("/livez", &get, 200, 200),
        ("/readyz", &get, 200, 200),
    ] {
        assert_eq!(status(&server.base, method.clone(), path).await, at_clients, "{path} for clients");
        assert_eq!(status(&operators, method.clone(), path).await, at_operators, "{path} for operators");
    }
}
