//! The operator's switch: a model that is out of service refers every image, on every replica.

use serde_json::{Value, json};
use system_tests::postgres::{Cluster, psql};
use system_tests::server::{Options, Server, problem};
use system_tests::{images, postgres, tokens};

async fn set(server: &Server, state: &str, reason: &str) -> reqwest::Response {
    let request =
        server.client.post(format!("{}/v1/model/state", server.base)).bearer_auth(tokens::token("admin"));
    request.json(&json!({ "state": state, "reason": reason })).send().await.unwrap()
}

async fn shown(server: &Server) -> Value {
    server.get("/v1/model", "predict").await.json::<Value>().await.unwrap()["state"].clone()
}

async fn predicted(server: &Server) -> Value {
    let response = server.post("?explain=true", images::jpeg(3, true)).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

fn is_out_of_service(answer: &Value) {
    assert_eq!(
        (&answer["decision"], &answer["reason"]),
        (&json!("refer"), &json!("out_of_service")),
        "{answer}"
    );
    for member in ["class", "probability", "confidence", "heatmap"] {
        assert_eq!(answer.get(member), Some(&Value::Null), "{member}: {answer}");
    }
    assert_eq!((&answer["review_required"], &answer["heatmap_withheld"]), (&json!(true), &json!("referred")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_takes_the_model_out_of_service_on_every_replica_and_back() {
    let cluster = Cluster::start();
    let url = cluster.database();
    let replicas = [Options::on(&url).start_ready().await, Options::on(&url).start_ready().await];
    let [first, second] = &replicas;
    for replica in &replicas {
        assert!(predicted(replica).await["class"].is_string());
        assert_eq!(shown(replica).await, json!({ "state": "serving", "reason": null, "since": null }));
        assert_eq!(replica.metric("cxr_model_advisory").await, Some(0.0));
    }
    let wrong = [("off", "r"), ("advisory", ""), ("advisory", "two\nlines")];
    for (state, reason) in wrong {
        problem(set(first, state, reason).await, 400, "malformed_request").await;
    }

    let answer = set(first, "advisory", "sensitivity below its limit").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<Value>().await.unwrap()["state"], "advisory");
    let referred = predicted(first).await;
    is_out_of_service(&referred);
    second
        .eventually(5, "the other replica still answers", async || shown(second).await["state"] == "advisory")
        .await;
    assert_eq!(shown(second).await, shown(first).await);
    is_out_of_service(&predicted(second).await);
    for replica in &replicas {
        assert_eq!(replica.metric("cxr_model_advisory").await, Some(1.0));
        assert_eq!(shown(replica).await["reason"], "sensitivity below its limit");
    }
    the_row_keeps_the_numbers(first, &url, referred["id"].as_str().unwrap()).await;

    // Without the database the last known state stays, also for images that arrive once it is back.
    cluster.crash();
    problem(second.post("", images::jpeg(4, true)).await, 503, "audit_unavailable").await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(shown(second).await["state"], "advisory");
    cluster.restart();
    second.wait_ready(true).await;
    is_out_of_service(&predicted(second).await);

    // A clock that was ahead when the last state was set does not hide the next one.
    let ahead = "insert into model_states values (gen_random_uuid(), now() + interval '1 day', 'x', 'advisory', 'a clock ahead')";
    psql(&url, ahead).unwrap();
    assert_eq!(set(second, "serving", "the model is back").await.status(), 200);
    for replica in &replicas {
        replica
            .eventually(5, "a replica still refers", async || shown(replica).await["state"] == "serving")
            .await;
        assert!(predicted(replica).await["class"].is_string());
    }
    let log = first.get("/v1/operations", "audit:read").await.json::<Value>().await.unwrap();
    let items = log["items"].as_array().unwrap().iter();
    let states: Vec<&Value> =
        items.filter(|item| item["action"] == "model.state").map(|item| &item["detail"]["state"]).collect();
    assert_eq!(states, ["serving", "advisory"]);
    assert_eq!(
        (&log["items"][0]["action"], &log["items"][0]["actor"]),
        (&json!("model.state"), &json!("tester"))
    );
}

/// The row, the exports and a replay of an image that was referred because the model was out of service.
async fn the_row_keeps_the_numbers(server: &Server, url: &str, id: &str) {
    let text = async |path: &str| server.get(path, "audit:read").await.text().await.unwrap();
    let row: Value = serde_json::from_str(&text(&format!("/v1/predictions/{id}")).await).unwrap();
    assert_eq!((&row["decision"], &row["decision_reason"]), (&json!("refer"), &json!("out_of_service")));
    assert!(
        ["logit", "probability", "confidence", "ood_score"].iter().all(|column| row[*column].is_f64()),
        "{row}"
    );
    let found: Value = serde_json::from_str(&text("/v1/predictions?reason=out_of_service").await).unwrap();
    assert_eq!(found["items"].as_array().unwrap().len(), 2);
    let events = text("/v1/predictions?reason=out_of_service&format=fhir").await;
    assert!(events.lines().count() == 2 && !events.contains("\"probability\""), "{events}");
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("case.jpg");
    std::fs::write(&image, images::jpeg(3, true)).unwrap();
    let arguments = ["audit", "replay", "--id", id, "--image", image.to_str().unwrap()];
    let (succeeded, output) = Options::on(url).command_line(&arguments).outcome();
    assert!(succeeded, "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_gets_the_first_answer_whatever_the_state_is_now() {
    let server = Server::ready().await;
    let post = || {
        let request = server.prediction("?explain=true").bearer_auth(tokens::token("predict"));
        request.header("Idempotency-Key", "k-1").body(images::jpeg(3, true)).send()
    };
    assert_eq!(set(&server, "advisory", "r").await.status(), 200);
    let first: Value = post().await.unwrap().json().await.unwrap();
    is_out_of_service(&first);
    assert_eq!(set(&server, "serving", "r").await.status(), 200);
    let again = post().await.unwrap();
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    let again: Value = again.json().await.unwrap();
    is_out_of_service(&again);
    assert_eq!(again["id"], first["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_takes_the_model_out_of_service_whatever_operators_set() {
    let url = postgres::shared().database();
    let server = Options::on(&url).set("model.state", &"advisory").start_ready().await;
    is_out_of_service(&predicted(&server).await);
    assert_eq!(server.metric("cxr_model_advisory").await, Some(1.0));
    let answer: Value = set(&server, "serving", "r").await.json().await.unwrap();
    assert_eq!((&answer["state"], &answer["since"]), (&json!("advisory"), &Value::Null));
    assert!(answer["reason"].as_str().unwrap().contains("service.model.state"), "{answer}");
    is_out_of_service(&predicted(&server).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_sets_the_state_as_the_database_user() {
    let url = postgres::shared().database();
    let (writer, auditor) = (postgres::as_user(&url, "writer"), postgres::as_user(&url, "auditor"));
    let server = Options::on(&writer).set("database.reader_url", &auditor).start_ready().await;
    let run = |arguments: &[&str]| {
        Options::on(&writer).command_line(&[&["model-state"], arguments].concat()).outcome()
    };
    let (succeeded, output) = run(&["advisory", "--reason", "drill"]);
    assert!(succeeded && output.contains("advisory"), "{output}");
    server
        .eventually(5, "the server still answers", async || shown(&server).await["reason"] == "drill")
        .await;
    is_out_of_service(&predicted(&server).await);
    let log = server.get("/v1/operations", "audit:read").await.json::<Value>().await.unwrap();
    assert_eq!(log["items"][0]["actor"], "database:test_writer");
    for wrong in [&["off", "--reason", "r"][..], &["advisory", "--reason", " "], &["advisory"]] {
        assert!(!run(wrong).0, "{wrong:?}");
    }
}
