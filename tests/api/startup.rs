//! Configurations and bundles with which the service refuses to start, and what `/v1/model` reports.

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use system_tests::server::{Options, Server, binary};
use system_tests::{postgres, root, tokens};

fn copy_of_the_bundle(directory: &Path) -> std::path::PathBuf {
    let copy = directory.join("bundle");
    let done = Command::new("cp").arg("-r").arg(root().join("models/default")).arg(&copy).status().unwrap();
    assert!(done.success());
    copy
}

fn files(root: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_bundle_with_one_flipped_byte_is_refused_and_the_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let bundle = copy_of_the_bundle(directory.path());
    let options = Options::on(&postgres::shared().database()).set("model.bundle", &bundle.display());
    drop(options.start_ready().await);
    for path in files(&bundle) {
        let intact = std::fs::read(&path).unwrap();
        let mut damaged = intact.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let output = options.run_to_end();
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success());
        let name = path.strip_prefix(&bundle).unwrap().to_str().unwrap().to_owned();
        // The signature covers the manifest, so the signature does not match.
        assert!(text.contains(&name), "{name}: {text}");
        std::fs::write(&path, intact).unwrap();
    }
}

#[tokio::test]
async fn production_refuses_settings_that_are_for_development_only() {
    let url = postgres::shared().database();
    let key = root().join("config/development-signing-key.pub.pem");
    let directory = tempfile::tempdir().unwrap();
    let yaml = format!(
        "service:\n  auth:\n    keys: [{{pem_file: {0}, algorithm: EdDSA}}]\n  model:\n    trusted_keys: [{0}]\n",
        key.display()
    );
    std::fs::write(directory.path().join("production.yaml"), yaml).unwrap();
    let production = || {
        Options::on(&url)
            .variable("CXR_PROFILE", "production")
            .variable("CXR_CONFIG_DIR", directory.path().to_str().unwrap())
            .set("auth.issuer", &tokens::ISSUER)
            .set("auth.audience", &"cxr")
            .set("audit.input_key", &"an input key for tests, 32 bytes or more")
            .set("audit.signing_key", &tokens::LOG_KEY)
            .set("audit.site", &"test-site")
            .set("audit.anchor.directory", &directory.path().join("anchor").display())
    };
    let failed_start = |options: Options| {
        let output = options.run_to_end();
        assert!(!output.status.success());
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let text = failed_start(production());
    assert!(text.contains("development") && text.contains("key"), "{text}");
    let secret = "a-secret-of-32-bytes-or-more-that-must-not-be-printed";
    let text = failed_start(production().set("auth.hs256_secret", &secret));
    assert!(text.contains("hs256_secret") && !text.contains(secret), "{text}");
}

#[test]
fn check_config_explains_what_is_wrong() {
    let run = |name: &str, value: &str| {
        let output = Command::new(binary())
            .args(["check-config", "--profile", "development"])
            .current_dir(root())
            .env("CXR_SERVICE__DATABASE__URL", "postgres://cxr:hunter2hunter2@localhost/cxr")
            .env(name, value)
            .output()
            .unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!text.contains("hunter2"), "a secret was printed: {text}");
        (output.status.success(), text)
    };
    let library = std::env::var("ORT_DYLIB_PATH").expect("ORT_DYLIB_PATH: scripts/onnxruntime.sh prints it");
    let (fine, text) = run("ORT_DYLIB_PATH", &library);
    assert!(fine, "{text}");
    for (name, value, expected) in [
        ("CXR_SERVICE__HTTP__BIND", "nowhere", "service.http.bind"),
        ("CXR_SERVICE__LIMITS__MAX_IN_FLIGHT", "many", "service.limits.max_in_flight"),
        ("CXR_SERVICE__LIMITS__MAX_IN_FLIGHT", "0", "service.limits.max_in_flight"),
        ("CXR_SERVICE__LIMITS__MAX_IN_FLITE", "3", "max_in_flite"),
        ("CXR_SERVICE__MODEL__PROVIDER", "tpu", "service.model.provider"),
        ("CXR_SERVICE__AUDIT__INPUT_KEY", "short", "service.audit.input_key"),
    ] {
        let (fine, text) = run(name, value);
        assert!(!fine && text.contains(expected), "{name}={value}: {text}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_execute_makes_the_service_unready_with_the_cause() {
    let url = postgres::shared().database();
    let options = Options::on(&url).set("model.provider", &"cuda");
    let output = tokio::time::timeout(std::time::Duration::from_mins(1), async {
        let server = options.start().await;
        let response = server.client.get(format!("{}/readyz", server.base)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    });
    let (status, body) = output.await.unwrap();
    assert_eq!(status, 503);
    assert!(body.to_lowercase().contains("cuda"), "{body}");
}

#[tokio::test]
async fn the_model_route_names_the_current_model_and_its_provider() {
    let server = Server::ready().await;
    let model: Value = server.get("/v1/model", "").await.json().await.unwrap();
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(root().join("models/default/bundle.json")).unwrap()).unwrap();
    assert_eq!((&model["name"], &model["version"]), (&manifest["name"], &manifest["version"]));
    assert_eq!(model["digest"].as_str().map(str::len), Some(64));
    assert!(model["assigned_nodes"]["CPUExecutionProvider"].as_u64().unwrap() > 10, "{model}");
    assert_eq!(model["evaluation"]["test"], manifest["evaluation"]["test"]);
}
