//! Erasure: a subject's rows are found by the identifier until the subject is erased.

use crate::log::{anchored, export, sequenced, verify};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use system_tests::server::{Options, Server};
use system_tests::{images, postgres, tokens};

const MRN: &str = "HOSP-77120031^^^Example";

async fn send(server: &Server, n: u64, subject: &str) {
    let request = server.prediction("");
    let request = request.bearer_auth(tokens::token("predict")).header("X-Subject-Id", subject);
    assert_eq!(request.body(images::jpeg(n, true)).send().await.unwrap().status(), 200);
}

async fn send_form(server: &Server, n: u64, subject: &str) {
    let image = reqwest::multipart::Part::bytes(images::jpeg(n, true)).file_name("x");
    let form = reqwest::multipart::Form::new().part("file", image).text("subject", subject.to_owned());
    let request = server.prediction("");
    let request = request.bearer_auth(tokens::token("predict")).multipart(form);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

async fn found(server: &Server, subject: &str) -> Vec<Value> {
    let request = server.client.get(format!("{}/v1/predictions", server.base));
    let request = request.bearer_auth(tokens::token("audit:read")).header("X-Subject-Id", subject);
    let page: Value = request.send().await.unwrap().json().await.unwrap();
    page["items"].as_array().unwrap().clone()
}

fn erase(url: &str, list: &Path, identifier: &str) -> (bool, String) {
    let options = Options::on(url).set("audit.erasures_file", &list.display());
    let options = options.command_line(&["audit", "erase-subject", "--identifiers", "-"]);
    options.outcome_with_input(&format!("{identifier}\n"))
}

fn verified(url: &str, folder: &Path, anchor: &Path) -> Value {
    let (code, report) = verify(&export(url, folder), &["--checkpoints".as_ref(), anchor.as_os_str()]);
    assert_eq!(code, 0, "{report}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_subject_cannot_be_found_and_every_proof_still_holds() {
    let cluster = postgres::shared();
    let url = cluster.database();
    let folder = tempfile::tempdir().unwrap();
    let (anchor, list) = (folder.path().join("anchor"), folder.path().join("erased"));
    // If the list's volume is not mounted, the erasure fails: a restored backup would undo it.
    let (erased, output) = erase(&url, &list, MRN);
    assert!(!erased && output.contains("is missing"), "{output}");
    std::fs::write(&list, "").unwrap();
    let options = |url: &str| {
        Options::on(url)
            .set("audit.anchor.directory", &anchor.display())
            .set("audit.anchor.interval_ms", &1)
            .set("audit.erasures_file", &list.display())
    };
    let server = options(&url).start_ready().await;
    send(&server, 1, MRN).await;
    send_form(&server, 2, MRN).await;
    send(&server, 3, "somebody else").await;
    assert_eq!(server.post("", images::jpeg(4, true)).await.status(), 200, "a request without an identifier");
    let rows = found(&server, MRN).await;
    assert_eq!(rows.len(), 2, "one row by header and one by form");
    assert!(rows[0]["subject"] == rows[1]["subject"] && rows[0]["subject"].is_string());
    assert_eq!(found(&server, "somebody else").await.len(), 1);
    assert!(found(&server, "unknown").await.is_empty());
    anchored(&anchor, 4).await;

    // A backup, and then the erasure.
    let dump = Command::new("pg_dump").arg("--dbname").arg(&url).output().unwrap();
    assert!(dump.status.success());
    let text = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(
        !text.contains("77120031") && !server.log().contains("77120031"),
        "the database or the log contains the identifier"
    );
    assert!(!text.contains("unknown") && !text.contains("somebody else"));
    let (erased, output) = erase(&url, &list, MRN);
    assert!(erased && output.contains("1 of 1"), "{output}");
    assert!(!output.contains("77120031") && !std::fs::read_to_string(&list).unwrap().contains("77120031"));
    assert!(found(&server, MRN).await.is_empty());
    assert_eq!(found(&server, "somebody else").await.len(), 1);
    assert_eq!(verified(&url, folder.path(), &anchor)["n_rows_verified"], 4);

    // A subject who returns gets a new key.
    send(&server, 5, MRN).await;
    let back = found(&server, MRN).await;
    assert!(back.len() == 1 && back[0]["subject"] != rows[0]["subject"]);
    anchored(&anchor, 5).await;
    drop(server);

    // The backup still has the subject; the list erases it in the restored database.
    cluster.psql("postgres", "create database restored_before_the_erasure");
    let restored = cluster.url("restored_before_the_erasure");
    let mut psql = Command::new("psql")
        .arg("-Xq")
        .arg(&restored)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    psql.stdin.take().unwrap().write_all(&dump.stdout).unwrap();
    assert!(psql.wait().unwrap().success());
    let known = |url: &str| postgres::psql(url, "select count(*) from subjects").unwrap();
    assert_eq!(known(&restored), "2");
    std::fs::remove_dir_all(&anchor).unwrap();
    let server = options(&restored).start_ready().await;
    server.eventually(20, "the subject is not erased again", async || known(&restored) == "1").await;
    assert!(found(&server, MRN).await.is_empty());
    assert_eq!(found(&server, "somebody else").await.len(), 1);
}

#[test]
fn an_erasure_requires_a_list_outside_the_database() {
    let url = postgres::shared().database();
    let (erased, output) = erase(&url, Path::new(""), MRN);
    assert!(!erased && output.contains("audit.erasures_file"), "{output}");
}

/// Until someone repairs the list, rows are still sequenced, and the service's log states the problem.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_list_stops_nothing_else() {
    let url = postgres::shared().database();
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("erased");
    std::fs::write(&list, "0707 yest").unwrap();
    let server = Options::on(&url).set("audit.erasures_file", &list.display()).start_ready().await;
    send(&server, 1, MRN).await;
    sequenced(&url, 1).await;
    assert!(server.log().contains("line 1: not an HMAC"), "{}", server.log());
}
