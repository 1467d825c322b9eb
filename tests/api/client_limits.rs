//! Limits per client: they do not affect other clients, and every answer states them.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;
use system_tests::server::{Options, Server, problem};
use system_tests::{images, postgres, tokens};

async fn send(server: &Server, actor: &str) -> reqwest::Response {
    send_image(server, actor, images::blank()).await
}

async fn send_image(server: &Server, actor: &str, image: Vec<u8>) -> reqwest::Response {
    let token = tokens::sign_development(&tokens::claims(actor, "predict"));
    let request = server.prediction("").bearer_auth(token);
    request.body(image).send().await.unwrap()
}

fn header(response: &reqwest::Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_over_its_rate_limit_is_refused_and_others_are_not() {
    let options = Options::on(&postgres::shared().database());
    let options = options.set("limits.client_requests_per_second", &1).set("limits.client_burst", &3);
    let server = options.start_ready().await;
    // On a busy host, one may be refilled meanwhile.
    let mut accepted = 0;
    let refused = loop {
        let answer = send(&server, "busy").await;
        assert_eq!(header(&answer, "ratelimit-policy"), "\"client\";q=3;w=3");
        if answer.status() == 429 {
            break answer;
        }
        assert_eq!(answer.status(), 422);
        accepted += 1;
        assert!(accepted < 50, "nothing is refused");
    };
    assert!(accepted >= 3, "{accepted} accepted");
    assert_eq!(header(&refused, "retry-after"), "1");
    assert!(header(&refused, "ratelimit").starts_with("\"client\";r=0;"));
    problem(refused, 429, "client_limit").await;
    assert_eq!(send(&server, "quiet").await.status(), 422);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(send(&server, "busy").await.status(), 422);
    assert_eq!(server.metric("cxr_refusals_total{cause=\"client_limit\"}").await, Some(1.0));
    // Probes belong to no client.
    let probe = server.client.get(format!("{}/livez", server.base)).send().await.unwrap();
    assert!(header(&probe, "ratelimit").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_only_its_share_of_the_slots() {
    let options = Options::on(&postgres::shared().database()).set("limits.client_max_in_flight", &2);
    let server = options.start_ready().await;
    // Two stalled uploads hold their slots.
    let mut held = Vec::new();
    for _ in 0..2 {
        let token = tokens::sign_development(&tokens::claims("slow", "predict"));
        let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let head = format!(
            "POST /v1/predictions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\nx"
        );
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
        held.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    problem(send(&server, "slow").await, 429, "client_limit").await;
    assert_eq!(send(&server, "other").await.status(), 422);
    drop(held);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(send(&server, "slow").await.status(), 422);
}

/// The one decoding thread takes turns between the large images of one client and the small ones of another.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_large_images_does_not_delay_another_one() {
    let options = Options::on(&postgres::shared().database());
    let options = options.set("limits.decode_threads", &1).set("limits.deadline_ms", &60000);
    let server = options.start_ready().await;
    let large = images::rgba16(4000, 4000);
    let mut calls: FuturesUnordered<_> =
        (0..12).map(|_| send_image(&server, "large", large.clone())).collect();
    // All others now wait for the decoding thread, or arrive.
    assert_eq!(calls.next().await.unwrap().status(), 200);
    let small = async {
        for seed in 0..4 {
            assert_eq!(send_image(&server, "small", images::jpeg(seed, true)).await.status(), 200);
        }
    };
    let mut small = std::pin::pin!(small);
    let mut n_between = 0;
    loop {
        tokio::select! {
            biased;
            () = &mut small => break,
            Some(answer) = calls.next() => {
                assert_eq!(answer.status(), 200);
                n_between += 1;
            }
        }
    }
    // A large one is being decoded whenever a small one arrives.
    assert!(n_between <= 6, "{n_between} of 11 large images came first");
    assert_eq!(calls.count().await, 11 - n_between);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_leaves_a_bounded_log() {
    let options = Options::on(&postgres::shared().database()).set("http.refusal_delay_ms", &0);
    let server = options.start_ready().await;
    for _ in 0..20 {
        let calls = (0..50).map(|_| server.client.get(format!("{}/v1/model", server.base)).send());
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!(answer.unwrap().status(), 401);
        }
    }
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("cxr_service::security")).count();
    assert!((20..600).contains(&lines), "{lines} lines");
    assert_eq!(server.metric("cxr_refusals_total{cause=\"unauthenticated\"}").await, Some(1000.0));
}

/// The fields of the log lines with this target.
fn lines(log: &str, target: &str) -> Vec<serde_json::Value> {
    let events = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    events.filter(|event| event["target"] == target).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_counted_and_the_log_of_refusals_is_bounded() {
    // One connection per request of the flood.
    let options = Options::on(&postgres::shared().database()).set("http.max_connections_per_address", &512);
    let server = options.set("http.refusal_delay_ms", &0).start_ready().await;
    let begun = std::time::Instant::now();
    let (label, audit) = (tokens::token("label"), tokens::token("audit:read"));
    let url = |path: &str| format!("{}{path}", server.base);
    for _ in 0..10 {
        let flood = (0..50).flat_map(|_| {
            [
                server.client.get(url("/nothing/here")),
                server.client.delete(url("/livez")),
                server.client.get(url("/v1/predictions?limit=x")).bearer_auth(&audit),
                server.client.get(url("/v1/predictions")).bearer_auth(&label),
                server
                    .client
                    .post(url("/v1/predictions"))
                    .bearer_auth(tokens::token("predict"))
                    .header("content-type", "text/plain"),
                // Neither a refusal nor a token.
                server.client.get(url("/openapi.json")),
            ]
        });
        let answers = futures_util::future::join_all(flood.map(reqwest::RequestBuilder::send)).await;
        for (n, answer) in answers.into_iter().enumerate() {
            let wanted = [404, 405, 400, 403, 415, 200][n % 6];
            assert_eq!(answer.unwrap().status(), wanted);
        }
    }
    let seconds = begun.elapsed().as_secs() as usize + 2;
    for cause in
        ["not_found", "method_not_allowed", "malformed_request", "forbidden", "unsupported_media_type"]
    {
        let counted = server.metric(&format!("cxr_refusals_total{{cause=\"{cause}\"}}")).await;
        assert_eq!(counted, Some(500.0), "{cause}");
    }
    let log = server.log();
    let (security, requests) =
        (lines(&log, "cxr_service::security"), lines(&log, "cxr_service::http::middleware::observe"));
    println!("{} and {} lines in {seconds} s of 3000 requests", security.len(), requests.len());
    // Refusals without a token, refusals with a token, and public answers.
    assert!((20..=2 * 20 * seconds).contains(&security.len()), "{} lines in {seconds} s", security.len());
    assert!((1..=20 * seconds).contains(&requests.len()), "{} lines in {seconds} s", requests.len());
    for line in &security {
        let peer = line["peer"].as_str().unwrap_or_else(|| panic!("{line}"));
        assert!(peer.starts_with("127.0.0.1:"), "{line}");
        let known = [400, 403, 415].contains(&line["status"].as_u64().unwrap());
        assert_eq!(line["actor"].as_str(), known.then_some("tester"), "{line}");
    }
    assert!(
        [403, 404].into_iter().all(|status| security.iter().any(|line| line["status"] == status)),
        "the log lacks the refusals with 403 or those with 404"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_arrives_ends_at_the_deadline() {
    let server = Server::ready().await;
    let token = tokens::token("predict");
    let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "POST /v1/predictions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nX-Request-Timeout-Ms: 400\r\n\
         Content-Length: 1000\r\n\r\nx"
    );
    let begun = std::time::Instant::now();
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 2000];
    let n = tokio::io::AsyncReadExt::read(&mut stream, &mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..n]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("the deadline passed"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
