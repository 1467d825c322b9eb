//! The interface against its OpenAPI document: Schemathesis sends valid and invalid requests, and every
//! answer must be documented and must not be a server error.

use serde_json::Value;
use std::process::Command;
use std::time::Instant;
use system_tests::server::Options;
use system_tests::{images, postgres, root, skipped, tokens};

/// All scopes; `auth` tests what each of them allows.
const SCOPES: &str = "predict label audit:read monitor:read admin";

#[tokio::test]
async fn every_answer_is_documented() {
    let Some(program) = std::env::var_os("CXR_SCHEMATHESIS").filter(|program| !program.is_empty()) else {
        return skipped("no Schemathesis (set CXR_SCHEMATHESIS to what scripts/venv.sh schemathesis prints)");
    };
    // It provokes refusals as fast as it can, which must not be delayed.
    let options = Options::on(&postgres::shared().database()).set("http.refusal_delay_ms", &0);
    let server = options.start_ready().await;
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image.jpeg");
    std::fs::write(&image, images::jpeg(7, true)).unwrap();
    let answer: Value = server.post("", images::jpeg(7, true)).await.json().await.unwrap();
    let started = Instant::now();
    let run = Command::new(program)
        .current_dir(directory.path())
        .env("SCHEMATHESIS_HOOKS", root().join("tests/api/schemathesis_hooks.py"))
        .env("CXR_TEST_IMAGE", &image)
        .env("CXR_TEST_ROW", answer["id"].as_str().unwrap())
        .arg("--config-file")
        .arg(root().join("tests/api/schemathesis.toml"))
        .args(["run", &format!("{}/openapi.json", server.base)])
        .args(["--header", &format!("Authorization: Bearer {}", tokens::token(SCOPES))])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{output}");
    println!("{output}\n{:.0} s", started.elapsed().as_secs_f64());
}
