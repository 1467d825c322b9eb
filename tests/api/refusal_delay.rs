//! Refusals to a client that retries at once are delayed, longer each time; other clients are not affected.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use system_tests::http2::Http2;
use system_tests::server::{Options, Server};
use system_tests::{images, postgres, tokens};

fn paced() -> Options {
    let options = Options::on(&postgres::shared().database());
    options.set("http.refusals_per_second", &10).set("http.refusal_delay_ms", &3000)
}

/// `clients` request a path in a loop for `time`. Returns the number of answers and the slowest.
async fn loop_on(
    server: &Server,
    clients: usize,
    path: &str,
    token: Option<&str>,
    time: Duration,
) -> (usize, Duration) {
    let (n_answers, begun) = (AtomicUsize::new(0), Instant::now());
    let one = || async {
        let mut slowest = Duration::ZERO;
        while begun.elapsed() < time {
            let sent = Instant::now();
            let request = server.client.get(format!("{}{path}", server.base));
            let request = token.iter().fold(request, reqwest::RequestBuilder::bearer_auth);
            request.send().await.unwrap();
            slowest = slowest.max(sent.elapsed());
            n_answers.fetch_add(1, Ordering::Relaxed);
        }
        slowest
    };
    let slowest = futures_util::future::join_all((0..clients).map(|_| one())).await;
    (n_answers.into_inner(), slowest.into_iter().max().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn unauthenticated_retries_are_delayed_and_authenticated_clients_are_not() {
    let server = paced().start_ready().await;
    let unauthenticated = loop_on(&server, 60, "/v1/model", None, Duration::from_secs(5));
    let client = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let sent = Instant::now();
            assert_eq!(server.get("/v1/model", "predict").await.status(), 200);
            slowest = slowest.max(sent.elapsed());
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        slowest
    };
    let ((n_refused, slowest_refusal), slowest_answer) = tokio::join!(unauthenticated, client);
    // 20 at once and 10 per second, until each of the 60 clients waits for 3 s.
    println!(
        "{n_refused} refusals, the slowest after {slowest_refusal:?}; answers within {slowest_answer:?}"
    );
    assert!((60..300).contains(&n_refused), "{n_refused}");
    assert!(slowest_refusal > Duration::from_millis(2500), "{slowest_refusal:?}");
    assert!(slowest_answer < Duration::from_millis(1500), "{slowest_answer:?}");
    // After a pause, refusals come at once again.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let sent = Instant::now();
    let refused = server.client.get(format!("{}/v1/model", server.base)).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(sent.elapsed() < Duration::from_millis(500), "{:?}", sent.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_delayed_per_token_and_not_per_address() {
    let server = paced().start_ready().await;
    let allowed = tokens::sign_development(&tokens::claims("allowed", "label"));
    let allowed = loop_on(&server, 40, "/v1/model/", Some(&allowed), Duration::from_secs(1));
    // The token has the scope: nothing was refused, so nothing was delayed.
    assert!(allowed.await.1 < Duration::from_millis(900));
    let refused = tokens::sign_development(&tokens::claims("refused", "label"));
    let loops = loop_on(&server, 40, "/v1/predictions", Some(&refused), Duration::from_secs(4));
    let others = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let sent = Instant::now();
        assert_eq!(server.get("/v1/predictions", "label").await.status(), 403);
        sent.elapsed()
    };
    let ((_, slowest), other) = tokio::join!(loops, others);
    assert!(slowest > Duration::from_secs(2) && other < Duration::from_millis(800), "{slowest:?} {other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_grows_with_the_wait() {
    let options = paced().set("limits.client_max_in_flight", &1).set("limits.max_in_flight", &2);
    let server = options.start_ready().await;
    let image = images::jpeg(1, true);
    let calls = (0..60).map(|_| server.post("", image.clone()));
    let answers = futures_util::future::join_all(calls).await;
    let refused = answers.iter().filter(|answer| answer.status() == 429);
    let mut waits: Vec<u64> =
        refused.map(|answer| answer.headers()["retry-after"].to_str().unwrap().parse().unwrap()).collect();
    waits.sort_unstable();
    assert!(waits.first() == Some(&1) && waits.last() == Some(&3), "{waits:?}");
    assert!(answers.iter().all(|answer| [200, 429].contains(&answer.status().as_u16())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_probes_is_throttled_and_each_is_still_answered_in_time() {
    let server = Server::ready().await;
    let (n_answers, slowest) = loop_on(&server, 100, "/livez", None, Duration::from_secs(4)).await;
    println!("{n_answers} answers, the slowest after {slowest:?}");
    assert!((400..4000).contains(&n_answers), "{n_answers}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_delayed_refusals_is_bounded() {
    let options = Options::on(&postgres::shared().database());
    let options = options.set("http.refusals_per_second", &1).set("http.refusal_delay_ms", &30000);
    let server = options.start_ready().await;
    let mut connections = Vec::new();
    for _ in 0..60 {
        let mut client = Http2::connect(server.address(), 1 << 20).await.unwrap();
        for _ in 0..30 {
            drop(client.get("/v1/model").await);
        }
        connections.push(client);
    }
    let closed = "cxr_connections_ended_total{cause=\"flooding\"}";
    let is_closed = async || server.metric(closed).await >= Some(1.0);
    server.eventually(10, "no connection is closed", is_closed).await;
    assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200);
    drop(connections);
}
