//! The log as FHIR R4 `AuditEvent`, checked by a validator with the R4 definitions.

use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};
use system_tests::server::Options;
use system_tests::{images, npm, postgres, tokens};

/// Returns the number of resources, the number of invalid ones, and the validator's output.
fn validate(folder: &std::path::Path, lines: &[u8]) -> (u64, u64, String) {
    let mut node = Command::new("node")
        .arg("validate.mjs")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    node.stdin.take().unwrap().write_all(lines).unwrap();
    let output = String::from_utf8(node.wait_with_output().unwrap().stdout).unwrap();
    let last: Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
    (last["n"].as_u64().unwrap(), last["wrong"].as_u64().unwrap(), output)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_a_valid_r4_audit_event() {
    let Some(folder) = npm::install("fhir") else { return };
    let server = Options::on(&postgres::shared().database()).start_ready().await;
    // Predicted with and without a subject, rejected before and after decoding, expired.
    assert_eq!(server.post("?age=7&view=PA", images::jpeg(1, true)).await.status(), 200);
    for body in [images::blank(), b"no image".to_vec()] {
        assert_eq!(server.post("", body).await.status(), 422);
    }
    for (header, value, status) in [("X-Subject-Id", "MRN-1", 200), ("X-Request-Timeout-Ms", "1", 504)] {
        let request = server.prediction("").header(header, value);
        let request = request.bearer_auth(tokens::token("predict")).body(images::jpeg(2, false));
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    let answer = server.get("/v1/predictions?format=fhir", "audit:read").await;
    assert_eq!(answer.headers()["content-type"], "application/fhir+ndjson");
    let lines = answer.bytes().await.unwrap();
    let (n, wrong, output) = validate(&folder, &lines);
    assert_eq!((n, wrong), (5, 0), "{output}");
    let events: Vec<Value> = lines
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    let outcomes: Vec<&str> = events.iter().map(|event| event["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["4", "0", "4", "4", "0"], "the newest first");
    assert_eq!(
        events[1]["entity"].as_array().unwrap().len(),
        2,
        "one entity for the image and one for the patient"
    );

    // The validator does find errors.
    let mut broken = events[1].clone();
    broken["action"] = "Q".into();
    broken["surprise"] = 1.into();
    let (_, wrong, output) = validate(&folder, format!("{broken}\n").as_bytes());
    assert!(wrong == 1 && output.contains("surprise") && output.contains("action"), "{output}");
}
