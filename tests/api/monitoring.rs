//! Results of monitoring over HTTP and as metrics, what operators do about alarms, and the review sample.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use system_tests::results::{self, ALARM};
use system_tests::server::{Options, Server, problem};
use system_tests::{images, postgres, tokens};

const PAGES: [&str; 5] = ["overview", "drift", "calibration", "performance", "alarms"];

/// A server with the roles of a deployment that computes no results of its own.
async fn replica(url: &str) -> Server {
    let (writer, auditor) = (postgres::as_user(url, "writer"), postgres::as_user(url, "auditor"));
    let options = Options::on(&writer).set("database.reader_url", &auditor);
    options.set("monitoring.enabled", &false).start_ready().await
}

async fn read(server: &Server, page: &str) -> Value {
    let answer = server.get(&format!("/v1/monitoring/{page}"), "monitor:read").await;
    assert_eq!(answer.status(), 200, "{page}");
    answer.json().await.unwrap()
}

/// Waits until the server has read a result.
async fn has_results(server: &Server) {
    let current = async || read(server, "overview").await["freshness"]["status"] != "none";
    server.eventually(20, "no result is read", current).await;
}

async fn act(server: &Server, action: &str, actor: &str, reason: &str) -> reqwest::Response {
    let token = tokens::sign_development(&tokens::claims(actor, "admin"));
    let path = format!("{}/v1/monitoring/alarms/{ALARM}/{action}", server.base);
    server.client.post(path).bearer_auth(token).json(&json!({ "reason": reason })).send().await.unwrap()
}

/// The lines of `/metrics` that come from the results.
async fn exported(server: &Server) -> BTreeSet<String> {
    let text =
        server.client.get(format!("{}/metrics", server.base)).send().await.unwrap().text().await.unwrap();
    assert!(!text.contains("NaN") && !text.contains("Inf\n"), "{text}");
    let own = ["cxr_monitoring_leader", "cxr_monitoring_results_read"];
    let lines = text.lines().filter(|line| line.contains("slice=\"") || line.starts_with("cxr_monitoring_"));
    lines.filter(|line| !own.iter().any(|own| line.starts_with(own))).map(normalised).collect()
}

/// A line with its labels in alphabetical order and its value as short as it can be.
fn normalised(line: &str) -> String {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let value: f64 = value.parse().unwrap();
    let Some((name, labels)) = series.split_once('{') else { return format!("{series} {value}") };
    let mut labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
    labels.sort_unstable();
    format!("{name}{{{}}} {value}", labels.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_result_the_lists_are_empty_and_say_why() {
    let server = replica(&postgres::shared().database()).await;
    for page in PAGES {
        let answer = read(&server, page).await;
        assert_eq!(answer["freshness"]["status"], "none", "{answer}");
        assert!(answer["freshness"]["reason"].is_string(), "{answer}");
        let list = if page == "alarms" { "alarms" } else { "streams" };
        assert_eq!(answer[list], json!([]), "{page}");
    }
    for wrong in ["?sites=x", "?site=a&site=b", "?limit=1"] {
        let path = format!("/v1/monitoring/drift{wrong}");
        let refused = problem(server.get(&path, "monitor:read").await, 400, "malformed_request").await;
        assert!(refused["detail"].as_str().unwrap().contains("site, version, variant, slice"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_serves_and_exports_the_same_result() {
    let url = postgres::shared().database();
    results::publish(&url, &results::snapshot());
    let replicas = [replica(&url).await, replica(&url).await];
    for replica in &replicas {
        has_results(replica).await;
    }
    let [first, second] = &replicas;
    for page in PAGES {
        let answer = read(first, page).await;
        assert_eq!(answer, read(second, page).await, "{page}");
    }
    let lines = exported(first).await;
    assert_eq!(lines, exported(second).await);
    let images = "site=\"development\",slice=\"all\"";
    for line in [
        format!("cxr_drift_alarm{{group=\"inputs\",{images},variant=\"\",version=\"\"}} 1"),
        format!("cxr_estimate_status{{{images},status=\"withheld\",variant=\"fp32\",version=\"1.0.0\"}} 1"),
        format!("cxr_estimate_status{{{images},status=\"ok\",variant=\"fp32\",version=\"1.0.0\"}} 0"),
        format!(
            "cxr_realised_performance{{bound=\"low\",figure=\"sensitivity\",{images},variant=\"fp32\",version=\"1.0.0\"}} 0.9299999999999999"
        ),
        format!(
            "cxr_monitoring_alarms{{detector=\"inputs\",severity=\"ticket\",{images},state=\"open\",variant=\"\",version=\"\"}} 1"
        ),
        "cxr_monitoring_streams 2".to_owned(),
        "cxr_monitoring_streams_pooled 2".to_owned(),
    ] {
        assert!(lines.contains(&line), "{line}\n{lines:#?}");
    }

    let drift = read(first, "drift").await;
    assert_eq!(drift["freshness"]["status"], "current", "{drift}");
    let [images, model] = [&drift["streams"][0], &drift["streams"][1]];
    assert_eq!((&images["stream"]["version"], &model["stream"]["variant"]), (&Value::Null, &json!("fp32")));
    assert_eq!((&images["groups"][0]["in_alarm"], &images["groups"][0]["n"]), (&json!(true), &json!(6000)));
    assert_eq!(model["prevalence"]["estimate"]["n"], 500);
    let overview = read(first, "overview").await;
    assert_eq!(overview["streams"][0]["drift_in_alarm"], json!(["inputs"]));
    assert_eq!(
        (&overview["streams"][0]["n_alarms"], &overview["streams"][1]["n_alarms"]),
        (&json!(1), &json!(0))
    );
    for (filter, n) in [
        ("site=development", 2),
        ("site=x", 0),
        ("version=1.0.0", 1),
        ("variant=int8", 0),
        ("slice=all&variant=fp32", 1),
    ] {
        let found = read(first, &format!("performance?{filter}")).await;
        assert_eq!(found["streams"].as_array().unwrap().len(), n, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_acknowledged_once_and_resolved_after_a_change() {
    let url = postgres::shared().database();
    results::publish(&url, &results::snapshot());
    results::add_alarm(&url);
    let server = replica(&url).await;
    has_results(&server).await;
    let path = format!("/v1/monitoring/alarms/{ALARM}/acknowledge");
    let by_reader = server
        .client
        .post(format!("{}{path}", server.base))
        .bearer_auth(tokens::token("monitor:read audit:read"));
    problem(by_reader.json(&json!({ "reason": "r" })).send().await.unwrap(), 403, "forbidden").await;
    for wrong in ["", "  ", "two\nlines", &"x".repeat(1001)] {
        problem(act(&server, "acknowledge", "chief", wrong).await, 400, "malformed_request").await;
    }

    let first = act(&server, "acknowledge", "chief", "the scanner is being repaired").await;
    assert_eq!(first.status(), 201);
    let first: Value = first.json().await.unwrap();
    assert_eq!((&first["event"], &first["actor"]), (&json!("acknowledged"), &json!("chief")));
    let again = act(&server, "acknowledge", "deputy", "another reason").await;
    assert_eq!(again.status(), 200);
    assert_eq!(again.json::<Value>().await.unwrap(), first);

    // The result is older than the acknowledgement: alarms and metrics have it all the same.
    let acknowledged = async || read(&server, "alarms").await["alarms"][0]["acknowledged_at"] == first["at"];
    server.eventually(10, "the alarm is not acknowledged", acknowledged).await;
    assert!(exported(&server).await.iter().any(|line| line.contains("state=\"acknowledged\"")));

    problem(act(&server, "resolve", "chief", "repaired").await, 409, "alarm_unchanged").await;
    results::approve_baseline(&url);
    assert_eq!(act(&server, "resolve", "chief", "a baseline after the repair").await.status(), 201);
    assert_eq!(act(&server, "resolve", "deputy", "again").await.status(), 200);
    let resolved = async || read(&server, "alarms").await["alarms"] == json!([]);
    server.eventually(10, "the alarm is not resolved", resolved).await;
    assert!(!exported(&server).await.iter().any(|line| line.starts_with("cxr_monitoring_alarms{")));

    let unknown =
        format!("{}/v1/monitoring/alarms/0193a000-0000-7000-8000-000000000000/acknowledge", server.base);
    let unknown =
        server.client.post(unknown).bearer_auth(tokens::token("admin")).json(&json!({ "reason": "r" }));
    problem(unknown.send().await.unwrap(), 404, "not_found").await;

    // Each of the two is in the operations log, once, and reading the log is recorded.
    let log = server.get("/v1/operations?limit=1", "audit:read").await.json::<Value>().await.unwrap();
    assert_eq!(
        (&log["items"][0]["action"], &log["items"][0]["actor"]),
        (&json!("alarm.resolve"), &json!("chief"))
    );
    let next = format!("/v1/operations?limit=5&cursor={}", log["next"].as_str().unwrap());
    let rest = server.get(&next, "audit:read").await.json::<Value>().await.unwrap();
    let actions: Vec<&Value> = rest["items"].as_array().unwrap().iter().map(|item| &item["action"]).collect();
    assert_eq!(actions, ["alarm.acknowledge"]);
    assert_eq!(
        rest["items"][0]["detail"],
        json!({ "alarm_id": ALARM, "reason": "the scanner is being repaired" })
    );
    assert!(rest.get("next").is_none(), "{rest}");
    assert_eq!(postgres::psql(&url, "select count(*) from audit_reads").unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_read_leaves_the_last_one() {
    let url = postgres::shared().database();
    results::publish(&url, &results::snapshot());
    results::add_alarm(&url);
    let server = replica(&url).await;
    has_results(&server).await;
    let before = read(&server, "drift").await;
    let metrics = exported(&server).await;
    results::publish(&url, &json!({ "streams": 5 }));
    // An acknowledgement makes the replica read at once.
    for _ in 0..3 {
        assert!(act(&server, "acknowledge", "chief", "r").await.status().is_success());
        let line = server.logged("the results of monitoring could not be read").await;
        assert!(line.is_some_and(|line| line.contains("monitoring_results")), "{}", server.log());
    }
    assert_eq!(server.log().matches("the results of monitoring could not be read").count(), 1);
    assert_eq!(read(&server, "drift").await["streams"], before["streams"]);
    assert_eq!(exported(&server).await, metrics);

    // A later result without a stream leaves no series of it.
    let mut fewer = results::snapshot();
    fewer["streams"].as_array_mut().unwrap().truncate(1);
    results::publish(&url, &fewer);
    assert!(act(&server, "acknowledge", "chief", "r").await.status().is_success());
    let gone = async || !exported(&server).await.iter().any(|line| line.contains("version=\"1.0.0\""));
    server.eventually(10, "the series of the stream stay", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_review_sample_lists_drawn_images_until_they_have_a_label() {
    let url = postgres::shared().database();
    let server = replica(&url).await;
    results::add_alarm(&url);
    let mut drawn = Vec::new();
    for seed in 0..3 {
        let answer: Value = server.post("", images::jpeg(seed, false)).await.json().await.unwrap();
        drawn.push(answer["id"].as_str().unwrap().to_owned());
    }
    // One whose row retention has dropped.
    drawn.push("01933c5e-0000-7000-8000-000000000000".to_owned());
    for (id, leaf) in drawn.iter().zip(0..) {
        let draw = format!("insert into review_samples values ('{id}', 0, {leaf}, now(), 'negative', 0.02)");
        postgres::psql(&url, &draw).unwrap();
    }
    let page = async |query: &str| -> Value {
        let answer = server.get(&format!("/v1/review-sample{query}"), "audit:read").await;
        assert_eq!(answer.status(), 200, "{query}");
        answer.json().await.unwrap()
    };
    let ids = |page: &Value| -> Vec<String> {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["prediction_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = page("?limit=2").await;
    assert_eq!(ids(&first), drawn[..2]);
    let second = page(&format!("?limit=2&cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!((ids(&second), second.get("next")), (drawn[2..3].to_vec(), None));
    let item = &first["items"][0];
    assert_eq!((&item["inclusion_probability"], &item["stratum"]), (&json!(0.02), &json!("negative")));
    assert!(item.get("decision").is_none() && item.get("probability").is_none(), "{item}");

    let label =
        json!({ "label": "negative", "source": "radiologist", "labelled_at": "2026-01-05T10:00:00Z" });
    let path = format!("{}/v1/predictions/{}/labels", server.base, drawn[0]);
    let request = server.client.post(path).bearer_auth(tokens::token("label")).json(&label);
    assert_eq!(request.send().await.unwrap().status(), 201);
    assert_eq!(ids(&page("").await), drawn[1..3]);
    let reads = "select n_rows from audit_reads where query ? 'review_sample' order by id";
    assert_eq!(postgres::psql(&url, reads).unwrap(), "2\n1\n2");
    for wrong in ["?limit=0", "?cursor=x", "?unread=true"] {
        problem(
            server.get(&format!("/v1/review-sample{wrong}"), "audit:read").await,
            400,
            "malformed_request",
        )
        .await;
    }
}
