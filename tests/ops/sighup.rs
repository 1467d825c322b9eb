//! SIGHUP: model, keys and certificate are reloaded, and no request is lost.

use jsonwebtoken::Algorithm;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use system_tests::server::{Options, Server};
use system_tests::tokens::{KeyPair, claims};
use system_tests::{bundles, images, openssl, postgres};

async fn version(server: &Server) -> String {
    let model: serde_json::Value = server.get("/v1/model", "").await.json().await.unwrap();
    model["version"].as_str().unwrap().to_owned()
}

async fn status(server: &Server, token: &str) -> u16 {
    let request = server.client.get(format!("{}/v1/model", server.base)).bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

/// Waits until the log contains a text `times` times.
async fn wait_for_log(server: &Server, text: &str, times: usize) {
    server.eventually(20, text, async || server.log().matches(text).count() >= times).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_model_and_keys_and_loses_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    bundles::copy(&bundle, "9.0.0");
    let pairs = ["old", "new"].map(|name| {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        KeyPair::new(Algorithm::EdDSA, &folder.path().join(name))
    });
    let pem = folder.path().join("idp.pem");
    std::fs::write(&pem, &pairs[0].public_pem).unwrap();
    let keys = format!("service: {{auth: {{keys: [{{pem_file: {}, algorithm: EdDSA}}]}}}}", pem.display());
    std::fs::write(folder.path().join("development.yaml"), keys).unwrap();
    let options = Options::on(&postgres::shared().database())
        .variable("CXR_CONFIG_DIR", folder.path().to_str().unwrap())
        .set("model.bundle", &bundle.display());
    let mut server = options.start_ready().await;
    let [old, new] = pairs.each_ref().map(|pair| pair.sign(&claims("pacs", ""), None));
    assert_eq!((status(&server, &old).await, status(&server, &new).await), (200, 401));

    bundles::copy(&bundle, "9.0.1");
    std::fs::write(&pem, &pairs[1].public_pem).unwrap();
    server.signal("HUP");
    let begun = Instant::now();
    while version(&server).await != "9.0.1" {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", server.log());
        assert_eq!(server.post("", images::small(1)).await.status(), 200);
    }
    wait_for_log(&server, "token keys reloaded from files", 1).await;
    assert_eq!((status(&server, &old).await, status(&server, &new).await), (401, 200));

    // An unusable file changes nothing.
    bundles::flip_a_byte(&bundle.join("signature"));
    std::fs::write(&pem, "nothing").unwrap();
    server.signal("HUP");
    wait_for_log(&server, "reloading token keys failed", 1).await;
    wait_for_log(&server, "the candidate was rejected", 1).await;
    assert_eq!((version(&server).await.as_str(), status(&server, &new).await), ("9.0.1", 200));
    assert_eq!(server.post("", images::small(2)).await.status(), 200);
    server.signal("TERM");
    assert!(server.wait().await.success());
}

/// Creates a self-signed certificate in `server.pem` and `server.key`, and a copy of it in `kept`.
fn certificate(folder: &Path, kept: &str) {
    openssl::certificate(folder, "server");
    std::fs::copy(folder.join("server.pem"), folder.join(kept)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_a_renewed_certificate_at_once() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "first.pem");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (certificate_file, key) = (file("server.pem"), file("server.key"));
    let yaml = format!(
        "service: {{http: {{tls: {{certificate_file: {certificate_file}, private_key_file: {key}}}}}}}"
    );
    std::fs::write(folder.path().join("development.yaml"), yaml).unwrap();
    let options = Options::on(&postgres::shared().database());
    let server = options.variable("CXR_CONFIG_DIR", folder.path().to_str().unwrap()).start().await;
    let trusted = |authority: &str| {
        let url = format!("https://{}/livez", server.address());
        let done = Command::new("curl").args(["-sS", "--cacert", &file(authority), &url]).output().unwrap();
        done.status.success()
    };
    assert!(trusted("first.pem"));
    certificate(folder.path(), "second.pem");
    assert!(trusted("first.pem") && !trusted("second.pem"));
    server.signal("HUP");
    wait_for_log(&server, "TLS certificate reloaded", 1).await;
    assert!(trusted("second.pem") && !trusted("first.pem"));
}
