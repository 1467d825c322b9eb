//! Lost writes: a trigger silently discards an insert or a deletion, and the service must not confirm it.

use crate::log::{number, sequenced};
use reqwest::{RequestBuilder, Response};
use serde_json::json;
use std::time::{Duration, Instant};
use system_tests::postgres::{psql, shared};
use system_tests::server::{Options, Server, problem};
use system_tests::{bundles, images, tokens};

/// Discards every `operation` (insert or delete) on a table without an error.
fn discard(url: &str, table: &str, operation: &str) {
    let function = "create or replace function discard_rows() returns trigger language plpgsql as $$ begin return null; end $$";
    psql(url, function).unwrap();
    psql(
        url,
        &format!("create trigger discards before {operation} on {table} for each row execute function discard_rows()"),
    )
    .unwrap();
}

fn stop_discarding(url: &str, table: &str) {
    psql(url, &format!("drop trigger discards on {table}")).unwrap();
}

fn predict(server: &Server, key: &str, image: Vec<u8>) -> RequestBuilder {
    let request = server.prediction("");
    let request = request.bearer_auth(tokens::token("predict")).header("Idempotency-Key", key);
    request.header("X-Subject-Id", "somebody").body(image)
}

/// Runs a command that must fail, and returns its output.
fn failing(url: &str, arguments: &[&str], input: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let erased = folder.path().join("erased");
    std::fs::write(&erased, "").unwrap();
    let options = Options::on(url).set("audit.erasures_file", &erased.display());
    let (succeeded, output) = options.command_line(arguments).outcome_with_input(input);
    assert!(!succeeded, "{output}");
    output
}

async fn refused(response: Response) {
    let problem = problem(response, 503, "audit_unavailable").await;
    assert!(problem["receipt"].is_null() && problem["id"].is_null(), "{problem}");
}

/// Waits until `/readyz` names a cause: readiness is cached for a moment.
async fn readiness_says(server: &Server, cause: &str) -> bool {
    for _ in 0..25 {
        let answer = server.client.get(format!("{}/readyz", server.base)).send().await.unwrap();
        if answer.status() == 503 && answer.text().await.unwrap().contains(cause) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_rows_were_discarded_is_not_sent() {
    let url = shared().database();
    let server = Options::on(&url).start_ready().await;
    for (n, table) in ["predictions", "audit_pending", "idempotency_keys"].into_iter().enumerate() {
        discard(&url, table, "insert");
        for (image, what) in [(images::jpeg(n as u64, true), "prediction"), (images::blank(), "rejection")] {
            let response = predict(&server, &format!("{table}-{what}"), image).send().await.unwrap();
            refused(response).await;
        }
        assert!(readiness_says(&server, &format!("table {table} kept 0 of 1 rows")).await, "{table}");
        stop_discarding(&url, table);
        // Nothing is left behind: no row without its leaf, no leaf without its row.
        for table in ["predictions", "audit_pending", "audit_leaves", "idempotency_keys"] {
            assert_eq!(number(&url, &format!("select count(*) from {table}")), 0, "{table}");
        }
    }
    let response = predict(&server, "k", images::jpeg(1, true)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    server.wait_ready(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_shared_commit_are_counted() {
    let url = shared().database();
    let options =
        Options::on(&url).set("audit.commit.from_in_flight", &1).set("audit.commit.max_delay_ms", &200);
    let server = options.start_ready().await;
    // If one row of a shared commit is discarded, none is committed.
    psql(
        &url,
        "create function discard_blank() returns trigger language plpgsql as
        $$ begin if new.reason = 'blank' then return null; end if; return new; end $$",
    )
    .unwrap();
    let trigger =
        "create trigger discards before insert on predictions for each row execute function discard_blank()";
    psql(&url, trigger).unwrap();
    let others = (0..6).map(|seed| server.post("", images::jpeg(seed, true)));
    let (blank, others) =
        tokio::join!(server.post("", images::blank()), futures_util::future::join_all(others));
    refused(blank).await;
    let mut answered = 0;
    for other in others {
        match other.status().as_u16() {
            200 => answered += 1,
            _ => refused(other).await,
        }
    }
    assert_eq!(number(&url, "select count(*) from predictions"), answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_reads_and_subjects_that_were_discarded_are_errors() {
    let url = shared().database();
    let server = Options::on(&url).start_ready().await;
    let answer: serde_json::Value = server.post("", images::jpeg(1, true)).await.json().await.unwrap();
    let id = answer["id"].as_str().unwrap();

    discard(&url, "labels", "insert");
    let label = json!({"label": "positive", "source": "radiologist", "labelled_at": "2026-01-05T10:00:00Z"});
    let send = || {
        let request = server.client.post(format!("{}/v1/predictions/{id}/labels", server.base));
        request.bearer_auth(tokens::token("label")).json(&label).send()
    };
    refused(send().await.unwrap()).await;
    stop_discarding(&url, "labels");
    assert!(send().await.unwrap().status().is_success());

    discard(&url, "audit_reads", "insert");
    refused(server.get(&format!("/v1/predictions/{id}"), "audit:read").await).await;
    refused(server.get("/v1/predictions", "audit:read").await).await;
    let output = failing(&url, &["audit", "export", "--out", "/dev/null"], "");
    assert!(output.contains("table audit_reads kept 0 of 1 rows"), "{output}");
    stop_discarding(&url, "audit_reads");
    assert_eq!(server.get("/v1/predictions", "audit:read").await.status(), 200);

    discard(&url, "subjects", "insert");
    let begun = Instant::now();
    refused(predict(&server, "k", images::jpeg(2, true)).send().await.unwrap()).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_does_not_grow_over_discarded_rows() {
    for (table, operation) in [
        ("audit_leaves", "insert"),
        ("audit_hashes", "insert"),
        ("audit_checkpoints", "insert"),
        ("audit_pending", "delete"),
    ] {
        let url = shared().database();
        let server = Options::on(&url).set("audit.sequence.interval_ms", &50).start_ready().await;
        discard(&url, table, operation);
        assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200);
        let logged = async || server.log().contains(&format!("of 1 rows of the table {table}"));
        server.eventually(10, table, logged).await;
        for table in ["audit_leaves", "audit_hashes", "audit_checkpoints"] {
            assert_eq!(number(&url, &format!("select count(*) from {table}")), 0, "{table}");
        }
        stop_discarding(&url, table);
        sequenced(&url, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_deletion_is_an_error() {
    let url = shared().database();
    let server = Options::on(&url).set("audit.idempotency_kept_ms", &1000).start_ready().await;
    assert_eq!(predict(&server, "k", images::jpeg(1, true)).send().await.unwrap().status(), 200);
    for table in ["idempotency_keys", "subjects"] {
        discard(&url, table, "delete");
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    refused(predict(&server, "k", images::jpeg(1, true)).send().await.unwrap()).await;
    let output = failing(&url, &["audit", "erase-subject", "--identifiers", "-"], "somebody\n");
    assert!(output.contains("0 of 1 rows of the table subjects"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_score_of_a_candidate_counts_as_failed() {
    let folder = tempfile::tempdir().unwrap();
    let candidate = folder.path().join("candidate");
    bundles::copy(&candidate, "9.6.0");
    let url = shared().database();
    let server = Options::on(&url).set("model.shadow.bundle", &candidate.display()).start_ready().await;
    discard(&url, "shadow_predictions", "insert");
    assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200);
    let failed = async || server.metric("cxr_shadow_total{result=\"failed\"}").await == Some(1.0);
    server.eventually(20, "the metric does not count the failure", failed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_month_or_hold_is_an_error() {
    let url = shared().database();
    let newest = psql(&url, "select name from predictions_months order by starts desc limit 1").unwrap();
    discard(&url, "predictions_months", "insert or update");
    let made = psql(&url, "select make_months(6)").unwrap_err();
    assert!(made.contains("kept 0 of 1 rows"), "{made}");
    let output = failing(&url, &["audit", "hold", "--month", &newest, "--reason", "court"], "");
    assert!(output.contains("0 of 1 rows of the table predictions_months"), "{output}");
}
