//! Reloads under load: no request is lost, and a refused candidate never answers.

use crate::load::{Load, p99};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use system_tests::bundles;
use system_tests::server::{Options, Server, problem};
use system_tests::{images, postgres, tokens};

/// What the error must name, and the change to the candidate.
type Spoil = (&'static str, fn(&Path));

async fn reload(server: &Server) -> reqwest::Response {
    let request = server.client.post(format!("{}/v1/model/reload", server.base));
    request.bearer_auth(tokens::token("admin")).send().await.expect("an answer")
}

async fn served_version(server: &Server) -> String {
    let model: serde_json::Value = server.get("/v1/model", "predict").await.json().await.expect("JSON");
    model["version"].as_str().expect("a version").to_owned()
}

fn bundle(directory: &Path) -> PathBuf {
    let path = directory.join("bundle");
    bundles::copy(&path, "9.0.0");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_reloads_under_load_lose_no_request() {
    let _host = crate::HOST.write().await;
    let directory = tempfile::tempdir().unwrap();
    let path = bundle(directory.path());
    let url = postgres::shared().database();
    let server = Options::on(&url).set("model.bundle", &path.display()).start_ready().await;
    let images: Vec<Vec<u8>> = (0..4).map(|seed| images::jpeg(seed, seed % 2 == 0)).collect();
    let load = Load::start(&server, 8, &images);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let begun = Instant::now();
    let mut digests = BTreeSet::new();
    for round in 1..=10 {
        let version = format!("9.0.{round}");
        bundles::copy(&path, &version);
        let done = reload(&server).await;
        assert_eq!(done.status(), 200);
        let done: serde_json::Value = done.json().await.unwrap();
        assert_eq!(
            (done["swapped"].as_bool(), done["version"].as_str()),
            (Some(true), Some(version.as_str()))
        );
        digests.insert(done["digest"].as_str().unwrap().to_owned());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let outcomes = load.stop().await;
    let lost: Vec<_> = outcomes.iter().filter(|outcome| outcome.status != Some(200)).take(3).collect();
    assert!(lost.is_empty(), "{lost:?}\n{}", server.log());
    let (quiet, during): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| outcome.at < begun);
    let answered_by: BTreeSet<String> = during.iter().map(|outcome| outcome.digest.clone()).collect();
    assert!(digests.is_subset(&answered_by), "each of the ten bundles has answered");
    let times =
        |outcomes: &[&crate::load::Outcome]| p99(outcomes.iter().map(|outcome| outcome.took).collect());
    println!("p99 quiet {:?}, during reloads {:?}", times(&quiet), times(&during));
    let rows = postgres::psql(&url, "select count(*) from predictions").unwrap();
    assert_eq!(rows, outcomes.len().to_string());
    assert_eq!(server.metric("cxr_model_reloads_total{result=\"swapped\"}").await, Some(10.0));
    assert_eq!(server.metric("cxr_ready").await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_candidate_is_rejected_with_its_defect_and_the_current_model_stays() {
    let _host = crate::HOST.read().await;
    let directory = tempfile::tempdir().unwrap();
    let path = bundle(directory.path());
    let server =
        Options::on(&postgres::shared().database()).set("model.bundle", &path.display()).start_ready().await;
    // Reloading the same bundle changes nothing.
    let same: serde_json::Value = reload(&server).await.json().await.unwrap();
    assert_eq!(same["swapped"], false);
    let spoil: [Spoil; 4] = [
        ("model.onnx", |path| bundles::flip_a_byte(&path.join("model.onnx"))),
        ("signature", |path| std::fs::remove_file(path.join("signature")).unwrap()),
        // Signed and complete, but its golden output belongs to another model.
        ("logit", |path| {
            bundles::edit(path, |manifest| {
                let golden = &mut manifest["variants"]["fp32"]["golden"][1]["logit"];
                *golden = (golden.as_f64().unwrap() + 0.5).into();
            });
        }),
        ("bundle.json", |path| std::fs::remove_file(path.join("bundle.json")).unwrap()),
    ];
    for (named, spoil) in spoil {
        bundles::copy(&path, "9.9.9");
        spoil(&path);
        let body = problem(reload(&server).await, 422, "model_refused").await;
        assert!(body["detail"].as_str().unwrap().contains(named), "{named}: {body}");
        assert_eq!(served_version(&server).await, "9.0.0");
        assert_eq!(server.post("", images::jpeg(1, false)).await.status(), 200);
    }
    assert_eq!(server.metric("cxr_model_reloads_total{result=\"refused\"}").await, Some(4.0));
    for scope in ["predict", "audit:read"] {
        let request = server.client.post(format!("{}/v1/model/reload", server.base));
        let answer = request.bearer_auth(tokens::token(scope)).send().await.unwrap();
        problem(answer, 403, "forbidden").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_is_put_in_the_watched_directory_becomes_current() {
    let _host = crate::HOST.read().await;
    let directory = tempfile::tempdir().unwrap();
    let path = bundle(directory.path());
    let server = Options::on(&postgres::shared().database())
        .set("model.bundle", &path.display())
        .set("model.watch_interval_ms", &100)
        .start_ready()
        .await;
    let becomes = async |version: &str| {
        let current = async || served_version(&server).await == version;
        server.eventually(20, &format!("{version} does not become current"), current).await;
    };
    bundles::copy(&path, "9.1.0");
    becomes("9.1.0").await;
    // A rejected bundle is tried once, and the next good one becomes current.
    bundles::copy(&path, "9.2.0");
    bundles::flip_a_byte(&path.join("reference.json"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(served_version(&server).await, "9.1.0");
    bundles::copy(&path, "9.3.0");
    becomes("9.3.0").await;
}
