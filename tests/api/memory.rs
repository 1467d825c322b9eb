//! Memory and file descriptors: the service admits no more than they allow, and reports at start if they are
//! too few.

use system_tests::server::Options;
use system_tests::{images, postgres, tokens};

/// The minimum memory that docs/CONFIG.md states.
const LEAST_MB: u64 = 1200;

#[expect(clippy::print_stdout, reason = "says what it measured")]
async fn is_enough(resource: &str) {
    let options = Options::on(&postgres::shared().database()).limited(resource);
    let mut server = options.set("limits.deadline_ms", &60000).start_ready().await;
    let large = images::rgba16(6000, 6000);
    println!("{resource}: {} kB each; {} MB resident before", large.len() >> 10, server.memory_bytes() >> 20);
    let calls = (0..6).map(|_| server.post("", large.clone()));
    for answer in futures_util::future::join_all(calls).await {
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        println!("{status} {text}");
        // Read, or rejected for lack of memory: each has its row.
        assert!([200, 422].contains(&status), "{status} {text}");
    }
    println!("{} MB at most", server.peak_memory_bytes() >> 20);
    assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200);
    server.signal("TERM");
    assert!(server.wait().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_do_not_fit_together_are_decoded_one_after_the_other() {
    is_enough(&format!("--data={}", LEAST_MB << 20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_needs_more_than_all_memory_is_rejected_with_its_row() {
    let url = postgres::shared().database();
    let server = Options::on(&url).set("limits.decode_memory_mb", &64).start_ready().await;
    let answer = server.post("", images::rgba16(3000, 3000)).await;
    let body = system_tests::server::problem(answer, 422, "rejected").await;
    assert_eq!(body["reason"], "too_many_pixels", "{body}");
    assert!(body["detail"].as_str().unwrap().contains("this service has 64 MiB for it"), "{body}");
    assert_eq!(
        postgres::psql(&url, "select count(*) from predictions where outcome = 'rejected'").unwrap(),
        "1"
    );
    assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_wait_for_memory_and_are_then_refused_with_retry_after() {
    let options = Options::on(&postgres::shared().database()).set("limits.upload_memory_mb", &1);
    let server = options.start_ready().await;
    // One upload declares a megabyte and does not send it.
    let mut held = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let token = tokens::token("predict");
    let head = format!(
        "POST /v1/predictions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nX-Request-Timeout-Ms: 60000\r\n\
         Content-Length: 1048576\r\n\r\nx"
    );
    tokio::io::AsyncWriteExt::write_all(&mut held, head.as_bytes()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    // The same client has used its share; another client waits.
    let refused = server.post("", images::jpeg(1, true)).await;
    system_tests::server::problem(refused, 429, "client_limit").await;
    let other = tokens::sign_development(&tokens::claims("other", "predict"));
    let request = server.prediction("").bearer_auth(other);
    let request = request.header("x-request-timeout-ms", "300").body(images::jpeg(1, true));
    let refused = request.send().await.unwrap();
    assert_eq!(refused.headers()["retry-after"], "1");
    system_tests::server::problem(refused, 429, "too_many_requests").await;
    drop(held);
    assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200);
}

#[test]
fn too_little_memory_is_reported_at_start() {
    let options = Options::on(&postgres::shared().database()).set("limits.decode_memory_mb", &8);
    let ended = options.run_to_end();
    let output = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && output.contains("8 MiB are left for decoding images"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_file_descriptors_than_connections_are_reported_at_start() {
    let options = Options::on(&postgres::shared().database());
    let server = options.limited("--nofile=400:400").start_ready().await;
    let log = server.log();
    let line =
        log.lines().find(|line| line.contains("max_connections lowered")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("\"max_connections\":136"), "{line}");
    // Even more connections than it accepts leave it the descriptors that it needs itself.
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(tokio::net::TcpStream::connect(server.address()).await.unwrap());
    }
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200);
    assert!(!server.log().contains("accepting a connection failed"), "{}", server.log());

    let options = Options::on(&postgres::shared().database()).limited("--nofile=100:100");
    let ended = tokio::task::spawn_blocking(move || options.run_to_end()).await.unwrap();
    let output = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && output.contains("ulimit -n is 100"), "{output}");
}
