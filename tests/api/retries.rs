//! Retries with an idempotency key: the first answer is replayed, and there is never a second row.

use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use std::time::Duration;
use system_tests::server::{Options, Server, problem};
use system_tests::{images, postgres, tokens};

fn request(server: &Server, actor: &str, key: &str, query: &str, image: Vec<u8>) -> RequestBuilder {
    let token = tokens::sign_development(&tokens::claims(actor, "predict"));
    let request = Client::new().post(format!("{}/v1/predictions{query}", server.base));
    request.bearer_auth(token).header("Idempotency-Key", key).body(image)
}

fn replayed(response: &Response) -> bool {
    response.headers().get("idempotency-replayed").is_some_and(|value| value == "true")
}

async fn answer(request: RequestBuilder) -> (bool, Value) {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    (replayed(&response), response.json().await.unwrap())
}

fn rows(url: &str) -> usize {
    postgres::psql(url, "select count(*) from predictions").unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_gets_the_first_answer_and_no_second_row() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    let image = images::jpeg(1, true);
    let (was_replayed, first) = answer(request(&server, "pacs", "k-1", "?explain=true", image.clone())).await;
    assert!(!was_replayed);
    let (was_replayed, second) =
        answer(request(&server, "pacs", "\"k-1\"", "?explain=true", image.clone())).await;
    assert!(was_replayed, "a key in quotation marks is the same key");
    for member in [
        "id",
        "request_id",
        "class",
        "probability",
        "confidence",
        "decision",
        "review_required",
        "reason",
        "threshold",
        "model",
        "heatmap",
    ] {
        assert_eq!(first[member], second[member], "{member}");
    }
    assert_eq!(first["receipt"]["leaf_hash"], second["receipt"]["leaf_hash"]);
    assert_eq!(rows(&url), 1);

    // Another request with the same key is refused.
    for (query, other) in [
        ("?explain=true", images::jpeg(2, true)),
        ("", image.clone()),
        ("?explain=true&age=7", image.clone()),
    ] {
        let refused = request(&server, "pacs", "k-1", query, other).send().await.unwrap();
        problem(refused, 422, "idempotency_key_reused").await;
    }
    assert_eq!(rows(&url), 1);

    // Keys are per client.
    let (was_replayed, others) =
        answer(request(&server, "other", "k-1", "?explain=true", image.clone())).await;
    assert!(!was_replayed && others["id"] != first["id"]);

    // Rejections are replayed too.
    let rejected = request(&server, "pacs", "k-2", "", images::blank()).send().await.unwrap();
    assert!(!replayed(&rejected));
    let rejected = problem(rejected, 422, "rejected").await;
    let retried = request(&server, "pacs", "k-2", "", images::blank()).send().await.unwrap();
    assert!(replayed(&retried));
    let retried = problem(retried, 422, "rejected").await;
    for member in ["id", "reason", "detail"] {
        assert_eq!(rejected[member], retried[member], "{member}");
    }
    assert_eq!(rows(&url), 3);
    assert_eq!(server.metric("cxr_repeated_answers_total ").await, Some(2.0));

    for malformed in ["", "two words", &"x".repeat(256)] {
        let refused = request(&server, "pacs", malformed, "", image.clone()).send().await.unwrap();
        problem(refused, 400, "malformed_request").await;
    }

    // Another replica finds it too.
    drop(server);
    let server = Options::on(&url).start_ready().await;
    let (was_replayed, third) = answer(request(&server, "pacs", "k-1", "?explain=true", image)).await;
    assert!(was_replayed && third["id"] == first["id"]);
    assert_eq!(rows(&url), 3);
    assert!(!server.log().contains("k-1"), "the log contains an idempotency key, which could name a patient");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_retries_only_one_is_processed_across_replicas() {
    let url = postgres::shared().database();
    let servers = [Options::on(&url).start_ready().await, Options::on(&url).start_ready().await];
    for round in 0..6 {
        let image = images::jpeg(round, round % 2 == 0);
        let sent = (0..8)
            .map(|n| request(&servers[n % 2], "pacs", &format!("round-{round}"), "", image.clone()).send());
        let mut ids = Vec::new();
        for response in futures_util::future::join_all(sent).await {
            let response = response.unwrap();
            match response.status().as_u16() {
                200 => ids.push(response.json::<Value>().await.unwrap()["id"].clone()),
                _ => drop(problem(response, 409, "idempotency_key_under_way").await),
            }
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(rows(&url), 1 + round as usize);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_invite_a_retry_are_not_stored_and_stored_ones_expire() {
    let url = postgres::shared().database();
    let server = Options::on(&url).set("audit.idempotency_kept_ms", &1500).start_ready().await;
    let image = images::jpeg(5, true);
    let hurried = request(&server, "pacs", "k", "", image.clone()).header("X-Request-Timeout-Ms", 1);
    problem(hurried.send().await.unwrap(), 504, "deadline_exceeded").await;
    let (was_replayed, first) = answer(request(&server, "pacs", "k", "", image.clone())).await;
    assert!(!was_replayed);
    assert!(answer(request(&server, "pacs", "k", "", image.clone())).await.0);
    tokio::time::sleep(Duration::from_millis(1700)).await;
    let (was_replayed, later) = answer(request(&server, "pacs", "k", "", image)).await;
    assert!(!was_replayed && later["id"] != first["id"]);
    assert_eq!(rows(&url), 3, "the expired image, and two answers");
}
