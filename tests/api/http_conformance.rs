//! Corner cases of HTTP: a missing or second Host header, trailing slashes, and invalid HTTP/2 prefaces.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use system_tests::server::{Options, Server};
use system_tests::{images, openssl, postgres, tokens};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends bytes and reads until the other end closes.
async fn exchange(server: &Server, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // A reset counts as closing.
    drop(tokio::time::timeout(Duration::from_secs(5), read).await.expect("the connection is not ended"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_request_must_have_exactly_one_host_header() {
    let server = Server::ready().await;
    for (hosts, status) in [
        ("", "400"),
        ("Host: a\r\nHost: b\r\n", "400"),
        ("Host: a\r\nHost: a\r\n", "400"),
        ("Host: a\r\n", "200"),
    ] {
        let request = format!("GET /livez HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let answer = exchange(&server, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{hosts:?}: {answer}");
        assert_eq!(answer.contains("send exactly one Host header"), status == "400", "{answer}");
    }
    // HTTP/1.0 does not require Host.
    assert!(exchange(&server, b"GET /livez HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 200"));
    let answer = exchange(&server, b"GET /livez HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 400"), "{answer}");
}

#[tokio::test]
async fn one_trailing_slash_of_a_path_is_ignored() {
    let server = Server::ready().await;
    assert_eq!(server.get("/v1/model/", "predict").await.status(), 200);
    assert_eq!(server.get("/livez/", "predict").await.status(), 200);
    assert_eq!(server.get("/v1/predictions/?limit=1", "audit:read").await.status(), 200);
    assert_eq!(server.get("/v1/model//", "predict").await.status(), 404);
    let image = server.client.post(format!("{}/v1/predictions/?explain=true", server.base));
    let image = image.bearer_auth(tokens::token("predict")).body(images::jpeg(1, true)).send().await.unwrap();
    assert_eq!(image.status(), 200);
    let answer: serde_json::Value = image.json().await.unwrap();
    assert!(answer["heatmap"].is_string(), "the query is kept without the slash");
    let row = server.get(&format!("/v1/predictions/{}/", answer["id"].as_str().unwrap()), "audit:read").await;
    assert_eq!(row.status(), 200);
    // The metric counts it under the route, not under the path of the request.
    let counted = "cxr_http_requests_total{method=\"GET\",route=\"/v1/model\",status=\"200\"}";
    assert_eq!(server.metric(counted).await, Some(1.0));
    assert_eq!(server.get("/docs/", "predict").await.status(), 200);
}

#[tokio::test]
async fn an_invalid_preface_closes_the_connection() {
    let server = Server::ready().await;
    for preface in ["INVALID CONNECTION PREFACE\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"] {
        let begun = Instant::now();
        let answer = exchange(&server, preface.as_bytes()).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"),
            "{answer}"
        );
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}

/// After ALPN has chosen `h2`, bytes of HTTP/1 are an invalid preface (RFC 9113, 3.4), which gets no HTTP/1
/// answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_preface_after_tls_agreed_on_http_2_is_not_answered_in_http_1() {
    let folder = tempfile::tempdir().unwrap();
    openssl::certificate(folder.path(), "server");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key) = (file("server.pem"), file("server.key"));
    let yaml =
        format!("service: {{http: {{tls: {{certificate_file: {certificate}, private_key_file: {key}}}}}}}");
    std::fs::write(folder.path().join("development.yaml"), yaml).unwrap();
    let options = Options::on(&postgres::shared().database());
    let server = options.variable("CXR_CONFIG_DIR", &folder.path().display().to_string()).start().await;
    let talk = |protocol: &str, sent: &'static str| {
        let (address, protocol) = (server.address().to_owned(), protocol.to_owned());
        tokio::task::spawn_blocking(move || {
            let mut client = Command::new("timeout")
                .args(["5", "openssl", "s_client", "-quiet", "-alpn", &protocol, "-connect", &address])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut input = client.stdin.take().unwrap();
            input.write_all(sent.as_bytes()).unwrap();
            let begun = Instant::now();
            // Standard input stays open, so it ends only when the server closes the connection.
            let heard = client.wait_with_output().unwrap().stdout;
            drop(input);
            (heard, begun.elapsed())
        })
    };
    for sent in ["INVALID CONNECTION PREFACE\r\n\r\n", "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let (heard, took) = talk("h2", sent).await.unwrap();
        assert!(!String::from_utf8_lossy(&heard).contains("HTTP/1"), "{heard:?}");
        assert!(took < Duration::from_secs(4), "{took:?}: the connection is kept");
    }
    let (heard, _) =
        talk("http/1.1", "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(heard.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&heard));
}
