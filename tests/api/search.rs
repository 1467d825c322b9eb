//! Searching the log: filters, stable pages, streams, and a record of every read.

use serde_json::Value;
use std::collections::BTreeSet;
use system_tests::server::{Options, Server, problem};
use system_tests::{images, postgres, tokens};

const ROWS: usize = 12;

/// Sends predictions by two actors and some rejections.
async fn filled(url: &str) -> Server {
    let server = Options::on(url).start_ready().await;
    for n in 0..ROWS {
        let image = if n % 4 == 3 { images::blank() } else { images::jpeg(n as u64, n % 2 == 0) };
        let actor = if n % 3 == 0 { "pacs-one" } else { "pacs-two" };
        let token = tokens::sign_development(&tokens::claims(actor, "predict"));
        let request = server.prediction("").bearer_auth(token);
        let status = request.body(image).send().await.unwrap().status().as_u16();
        assert_eq!(status, if n % 4 == 3 { 422 } else { 200 });
    }
    server
}

async fn page(server: &Server, query: &str) -> Value {
    let answer = server.get(&format!("/v1/predictions{query}"), "audit:read").await;
    assert_eq!(answer.status(), 200, "{query}");
    answer.json().await.unwrap()
}

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_give_every_matching_row_once_and_are_stable_under_new_rows() {
    let url = postgres::shared().database();
    let server = filled(&url).await;
    let all = ids(&page(&server, "").await);
    assert_eq!(all.len(), ROWS);
    assert!(all.is_sorted_by(|newer, older| newer > older));

    let (mut seen, mut query) = (Vec::new(), "?limit=5".to_owned());
    loop {
        let found = page(&server, &query).await;
        seen.extend(ids(&found));
        assert_eq!(server.post("", images::blank()).await.status(), 422);
        let Some(next) = found["next"].as_str() else { break };
        query = format!("?limit=5&cursor={next}");
    }
    assert_eq!(seen, all);

    // Compares each filter with the rows themselves.
    let everything = page(&server, "?limit=1000").await;
    let rows = everything["items"].as_array().unwrap();
    let value = |row: &Value, column: &str| row[column].as_str().unwrap_or_default().to_owned();
    for (parameter, column) in [
        ("actor", "actor"),
        ("outcome", "outcome"),
        ("decision", "decision"),
        ("model_version", "model_version"),
        ("bundle_digest", "bundle_digest"),
        ("input_digest", "input_digest"),
        ("request_id", "request_id"),
    ] {
        let values: BTreeSet<String> =
            rows.iter().map(|row| value(row, column)).filter(|v| !v.is_empty()).collect();
        for wanted in values {
            let found = page(&server, &format!("?limit=1000&{parameter}={wanted}")).await;
            let expected: Vec<&Value> = rows.iter().filter(|row| value(row, column) == wanted).collect();
            assert_eq!(
                found["items"].as_array().unwrap().iter().collect::<Vec<_>>(),
                expected,
                "{parameter}={wanted}"
            );
        }
    }
    let reviewed = page(&server, "?limit=1000&review_required=true").await;
    assert_eq!(ids(&reviewed).len(), rows.iter().filter(|row| row["review_required"] == true).count());
    let blank = page(&server, "?limit=1000&reason=blank").await;
    assert_eq!(ids(&blank).len(), rows.iter().filter(|row| row["reason"] == "blank").count());
    let (from, to) = (value(&rows[6], "received_at"), value(&rows[2], "received_at"));
    assert_eq!(ids(&page(&server, &format!("?from={from}&to={to}")).await), ids(&everything)[3..=6]);
    assert!(ids(&page(&server, "?actor=nobody").await).is_empty());
    extreme_times(&server, &ids(&everything)).await;

    for wrong in [
        "?limit=0",
        "?limit=1001",
        "?limit=x",
        "?cursor=7",
        "?actr=x",
        "?from=yesterday",
        "?input_digest=xyz",
        "?format=xml",
        "?actor=a%00b",
        "?reason=%00&format=ndjson",
        "?to=9999-12-31T23:59:59-23:59",
        "?from=0000-01-01T00:00:00%2B01:00",
    ] {
        problem(server.get(&format!("/v1/predictions{wrong}"), "audit:read").await, 400, "malformed_request")
            .await;
    }
}

/// Many time ranges mean everything, and ids begin in 1970.
async fn extreme_times(server: &Server, all: &[String]) {
    for everything in [
        "from=0000-01-01T00:00:00Z",
        "from=0001-01-01T00:00:00Z",
        "from=1969-12-31T23:59:59Z",
        "to=9999-12-31T23:59:59Z",
        "to=9999-12-31T22:59:59.999999Z",
        "from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59.999999999Z",
    ] {
        assert_eq!(ids(&page(server, &format!("?limit=1000&{everything}")).await), all, "{everything}");
        for (format, head) in [("ndjson", 0), ("csv", 1), ("fhir", 0)] {
            let path = format!("/v1/predictions?format={format}&{everything}");
            let answer = server.get(&path, "audit:read").await.text().await.unwrap();
            assert_eq!(answer.lines().count(), all.len() + head, "{path}");
        }
    }
    for nothing in ["to=0000-01-01T00:00:00Z", "to=1969-12-31T23:30:00Z", "from=9999-12-31T23:59:59Z"] {
        assert!(ids(&page(server, &format!("?{nothing}")).await).is_empty(), "{nothing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_log_is_streamed_and_every_read_is_recorded() {
    let url = postgres::shared().database();
    let server = filled(&url).await;
    let reads = || postgres::psql(&url, "select actor, query, n_rows from audit_reads order by id").unwrap();
    assert_eq!(reads(), "");
    let listed = page(&server, "?limit=1000&outcome=predicted").await;
    let text = |path: &str| {
        let path = path.to_owned();
        let server = &server;
        async move { server.get(&path, "audit:read").await.text().await.unwrap() }
    };
    let lines = text("/v1/predictions?outcome=predicted&format=ndjson").await;
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&rows, listed["items"].as_array().unwrap());
    let csv = text("/v1/predictions?outcome=predicted&format=csv").await;
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), rows.len() + 1);
    assert!(lines[0].starts_with("id,request_id,received_at,recorded_at,actor,"));
    assert!(lines[1].starts_with(rows[0]["id"].as_str().unwrap()));
    let id = rows[0]["id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/predictions/{id}"), "audit:read").await.status(), 200);

    let reads = reads();
    let reads: Vec<&str> = reads.lines().collect();
    assert_eq!(reads.len(), 4, "{reads:?}");
    assert!(reads.iter().all(|read| read.starts_with("tester|")));
    assert!(reads[0].ends_with("|9") && reads[1].contains("ndjson") && reads[3].contains(id), "{reads:?}");

    // A read that cannot be recorded is refused.
    postgres::psql(&url, "alter table audit_reads add constraint nothing check (false) not valid").unwrap();
    problem(server.get("/v1/predictions", "audit:read").await, 503, "audit_unavailable").await;
    problem(server.get(&format!("/v1/predictions/{id}"), "audit:read").await, 503, "audit_unavailable").await;
}
