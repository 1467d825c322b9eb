//! Labels: a repeated label is stored once, a contradicted one is kept as history, and labelled images leave
//! the worklist.

use serde_json::{Value, json};
use system_tests::server::{Options, Server, problem};
use system_tests::{images, postgres, tokens};

async fn post_label(server: &Server, id: &str, label: &Value) -> reqwest::Response {
    let request = server.client.post(format!("{}/v1/predictions/{id}/labels", server.base));
    request.bearer_auth(tokens::token("label")).json(label).send().await.unwrap()
}

async fn ids(server: &Server, query: &str) -> Vec<String> {
    let answer: Value =
        server.get(&format!("/v1/predictions?{query}"), "audit:read").await.json().await.unwrap();
    answer["items"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_kept_as_history_and_the_latest_is_current() {
    let server = Server::ready().await;
    let answer: Value = server.post("", images::jpeg(1, true)).await.json().await.unwrap();
    let id = answer["id"].as_str().unwrap();
    assert_eq!(answer["review_required"], true);
    assert_eq!(ids(&server, "unreviewed=true").await, [id]);

    let first =
        json!({ "label": "positive", "source": "radiologist", "labelled_at": "2026-01-05T10:00:00Z" });
    let created = post_label(&server, id, &first).await;
    assert_eq!(created.status(), 201);
    let created: Value = created.json().await.unwrap();
    let again = post_label(&server, id, &first).await;
    assert_eq!(again.status(), 200);
    assert_eq!(again.json::<Value>().await.unwrap(), created);
    assert!(ids(&server, "unreviewed=true").await.is_empty());
    assert_eq!(ids(&server, "label=positive").await, [id]);

    // A later finding becomes current; an earlier one that arrives late does not.
    let later = json!({ "label": "negative", "source": "follow_up", "labelled_at": "2026-02-05T10:00:00Z" });
    let earlier = json!({ "label": "positive", "source": "report", "labelled_at": "2026-01-01T10:00:00Z" });
    for label in [&later, &earlier] {
        assert_eq!(post_label(&server, id, label).await.status(), 201);
    }
    let labels: Value =
        server.get(&format!("/v1/predictions/{id}/labels"), "label").await.json().await.unwrap();
    let sources: Vec<&str> =
        labels["labels"].as_array().unwrap().iter().map(|label| label["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["follow_up", "radiologist", "report"]);
    assert!(ids(&server, "label=positive").await.is_empty());
    assert_eq!(ids(&server, "label=negative").await, [id]);

    // Every format of the log gives the current label with its row, and none with the other rows.
    let other: Value = server.post("", images::jpeg(2, true)).await.json().await.unwrap();
    let text = async |path: &str| server.get(path, "audit:read").await.text().await.unwrap();
    let row: Value = serde_json::from_str(&text(&format!("/v1/predictions/{id}")).await).unwrap();
    let current = ["negative", "follow_up", "2026-02-05T10:00:00Z"];
    assert_eq!(["label", "source", "labelled_at"].map(|member| row[member].as_str().unwrap()), current);
    let streamed = text("/v1/predictions?format=ndjson").await;
    let rows: Vec<Value> = streamed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&rows[0]["id"], &rows[1]), (&other["id"], &row));
    assert!(["label", "source", "labelled_at"].iter().all(|member| rows[0][*member].is_null()), "{rows:?}");
    let streamed = text("/v1/predictions?format=csv").await;
    let lines: Vec<&str> = streamed.lines().collect();
    assert!(lines[0].ends_with(",label,source,labelled_at") && lines[1].ends_with(",,,"), "{streamed}");
    assert!(lines[2].ends_with(&current.join(",")), "{streamed}");
}

/// A correction of a correction is stored, and so is the same label by a second reader.
#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_correction_and_a_second_reader_are_stored() {
    let server = Server::ready().await;
    let answer: Value = server.post("", images::jpeg(1, true)).await.json().await.unwrap();
    let id = answer["id"].as_str().unwrap();
    let post = async |label: &str, actor: &str, status: u16| {
        let body = json!({ "label": label, "source": "radiologist", "labelled_at": "2026-01-05T10:00:00Z" });
        let request = server.client.post(format!("{}/v1/predictions/{id}/labels", server.base));
        let token = tokens::sign_development(&tokens::claims(actor, "label"));
        let answer = request.bearer_auth(token).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{actor}: {label}");
        answer.json::<Value>().await.unwrap()["id"].clone()
    };
    let first = post("negative", "anna", 201).await;
    assert_eq!(post("negative", "anna", 200).await, first);
    post("positive", "anna", 201).await;
    assert_eq!(ids(&server, "label=positive").await, [id]);
    let corrected = post("negative", "anna", 201).await;
    assert_ne!(corrected, first);
    assert_eq!(post("negative", "anna", 200).await, corrected);
    assert_eq!(ids(&server, "label=negative").await, [id]);
    assert!(ids(&server, "label=positive").await.is_empty());
    post("negative", "bert", 201).await;

    // Concurrent deliveries of one label are one row.
    let deliveries = futures_util::future::join_all((0..12).map(|_| async {
        let body = json!({ "label": "positive", "source": "report", "labelled_at": "2026-01-06T10:00:00Z" });
        post_label(&server, id, &body).await.status().as_u16()
    }));
    let statuses = deliveries.await;
    assert_eq!(statuses.iter().filter(|&&status| status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 201)), "{statuses:?}");

    let labels: Value =
        server.get(&format!("/v1/predictions/{id}/labels"), "label").await.json().await.unwrap();
    let stored: Vec<&str> =
        labels["labels"].as_array().unwrap().iter().map(|label| label["label"].as_str().unwrap()).collect();
    assert_eq!(stored, ["positive", "negative", "negative", "positive", "negative"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_labels_are_refused() {
    let server = Server::ready().await;
    let answer: Value = server.post("", images::jpeg(1, true)).await.json().await.unwrap();
    let id = answer["id"].as_str().unwrap();
    let good = json!({ "label": "positive", "source": "radiologist", "labelled_at": "2026-01-05T10:00:00Z" });
    for (member, value) in [
        ("label", json!("maybe")),
        ("source", json!("Dr. Jane Doe")),
        ("source", json!("jane")),
        ("labelled_at", json!("yesterday")),
        ("labelled_at", json!("2999-01-01T00:00:00Z")),
        ("labelled_at", json!("9999-12-31T23:59:59-23:59")),
        ("labelled_at", json!("1894-12-31T23:59:59Z")),
        // In UTC this is a year before 0, which RFC 3339 cannot express.
        ("labelled_at", json!("0000-01-01T00:00:00+01:00")),
        ("comment", json!("x".repeat(1 << 20))),
        ("comment", json!("patient 4711")),
        ("label", Value::Null),
    ] {
        let mut body = good.clone();
        body[member] = value;
        let refused = problem(post_label(&server, id, &body).await, 400, "malformed_request").await;
        assert!(!refused.to_string().contains("4711") && !refused.to_string().contains("Jane"), "{refused}");
    }
    let nobody = "01933c5e-0000-7000-8000-000000000000";
    problem(post_label(&server, nobody, &good).await, 404, "not_found").await;
    problem(post_label(&server, "7", &good).await, 400, "malformed_request").await;
    let request = server.client.post(format!("{}/v1/predictions/{id}/labels", server.base));
    let refused = request.bearer_auth(tokens::token("predict")).json(&good).send().await.unwrap();
    problem(refused, 403, "forbidden").await;
}

#[tokio::test]
async fn a_label_whose_body_never_ends_times_out() {
    let options = Options::on(&postgres::shared().database()).set("http.body_timeout_ms", &300);
    let server = options.start_ready().await;
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let id = "01933c5e-0000-7000-8000-000000000000";
    let request = server.client.post(format!("{}/v1/predictions/{id}/labels", server.base));
    let request = request.bearer_auth(tokens::token("label")).header("content-type", "application/json");
    problem(request.body(reqwest::Body::wrap_stream(never)).send().await.unwrap(), 408, "request_timeout")
        .await;
}
