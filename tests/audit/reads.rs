//! Every read of the log is recorded: through the API with its actor, from the command line with the database
//! user.

use crate::log::{ask, number, sequenced};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use system_tests::postgres::{as_user, psql};
use system_tests::server::{Options, problem};
use system_tests::{images, postgres, tokens};

/// All recorded reads, oldest first: reader, query, number of rows.
fn recorded_reads(url: &str) -> Vec<(String, Value, String)> {
    let rows = psql(url, "select actor, query, n_rows from audit_reads order by id").unwrap();
    let read = |line: &str| {
        let (actor, rest) = line.split_once('|').unwrap();
        let (query, n_rows) = rest.rsplit_once('|').unwrap();
        (actor.to_owned(), serde_json::from_str(query).unwrap(), n_rows.to_owned())
    };
    rows.lines().map(read).collect()
}

fn audit(url: &str, reader: &str, arguments: &[&str]) -> Output {
    let options = Options::on(url).set("database.reader_url", &reader);
    options.command_line(&[&["audit"], arguments].concat()).run_to_end()
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_and_proofs_count_as_reads_and_are_refused_if_they_cannot_be_recorded() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    let answer: Value = server.post("", images::jpeg(1, true)).await.json().await.unwrap();
    let id = answer["id"].as_str().unwrap();
    let statement = json!({ "label": "positive", "source": "report", "labelled_at": "2026-01-05T10:00:00Z" });
    let labels = format!("/v1/predictions/{id}/labels");
    let request = server.client.post(format!("{}{labels}", server.base)).bearer_auth(tokens::token("label"));
    assert_eq!(request.json(&statement).send().await.unwrap().status(), 201);
    sequenced(&url, 1).await;
    assert_eq!(recorded_reads(&url), []);

    let proof = format!("/v1/audit/proofs/{id}");
    ask(&server, &proof).await;
    assert_eq!(server.get(&labels, "label").await.status(), 200);
    let unknown = "01933c5e-0000-7000-8000-000000000000";
    problem(server.get(&format!("/v1/audit/proofs/{unknown}"), "audit:read").await, 404, "not_found").await;
    // These reads name no row.
    ask(&server, "/v1/audit/consistency?from=1").await;
    assert_eq!(server.get("/v1/audit/checkpoint", "audit:read").await.status(), 200);
    let read = |query: Value, n_rows: &str| ("tester".to_owned(), query, n_rows.to_owned());
    let expected = [
        read(json!({ "proof_of": id }), "1"),
        read(json!({ "labels_of": id }), "1"),
        read(json!({ "proof_of": unknown }), "0"),
    ];
    assert_eq!(recorded_reads(&url), expected);

    psql(&url, "alter table audit_reads add constraint nothing check (false) not valid").unwrap();
    problem(server.get(&proof, "audit:read").await, 503, "audit_unavailable").await;
    problem(server.get(&labels, "label").await, 503, "audit_unavailable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_from_the_command_line_are_recorded_with_the_database_user() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    let image = images::jpeg(1, true);
    let answer: Value = server.post("", image.clone()).await.json().await.unwrap();
    let id = answer["id"].as_str().unwrap();
    sequenced(&url, 1).await;
    let folder = tempfile::tempdir().unwrap();
    let (out, case) = (folder.path().join("log.ndjson"), folder.path().join("case.jpg"));
    std::fs::write(&case, image).unwrap();
    // Other users could read the file that existed before.
    std::fs::write(&out, "").unwrap();
    std::fs::set_permissions(&out, PermissionsExt::from_mode(0o644)).unwrap();
    let (auditor, export) = (as_user(&url, "auditor"), ["export", "--out", out.to_str().unwrap()]);
    let replay = ["replay", "--id", id, "--image", case.to_str().unwrap()];
    let replay_of_nothing =
        ["replay", "--id", "01933c5e-0000-7000-8000-000000000000", "--image", case.to_str().unwrap()];
    let done = audit(&auditor, &auditor, &export);
    assert!(done.status.success(), "{done:?}");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&out), 0o600);
    std::fs::remove_file(&out).unwrap();
    // The writer's own name is recorded; the reader may be a user on a standby.
    let writer = as_user(&url, "writer");
    assert!(audit(&writer, &auditor, &export).status.success());
    assert_eq!(mode(&out), 0o600);
    assert!(audit(&auditor, &auditor, &replay).status.success());
    assert_eq!(audit(&auditor, &auditor, &replay_of_nothing).status.code(), Some(1));
    let read = |who: &str, query: Value, n_rows: &str| (format!("database:{who}"), query, n_rows.to_owned());
    let expected = [
        read("test_auditor", json!({ "command": "audit export" }), ""),
        read("test_writer", json!({ "command": "audit export" }), ""),
        read("test_auditor", json!({ "command": "audit replay", "id": id }), "1"),
        read("test_auditor", json!({ "command": "audit replay", "id": replay_of_nothing[2] }), "0"),
    ];
    assert_eq!(recorded_reads(&url), expected);
    // The user cannot give another name, or write without the function.
    let forged = "insert into audit_reads (id, request_id, actor, query) values (gen_random_uuid(), 'r', 'chief', '{}')";
    assert!(psql(&auditor, forged).unwrap_err().contains("permission denied for table audit_reads"));

    // If the read cannot be recorded, as on a standby, nothing is read.
    let replica = format!("{auditor}&options=-c%20default_transaction_read_only%3Don");
    std::fs::remove_file(&out).unwrap();
    for refused in [&export[..], &replay] {
        let done = audit(&replica, &replica, refused);
        let output = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && output.contains("service.database.reader_url"), "{output}");
        assert_eq!(done.stdout, b"");
    }
    assert_eq!(std::fs::read(&out).unwrap_or_default(), b"");
    assert!(audit(&auditor, &replica, &export).status.success());
    assert_eq!(number(&url, "select count(*) from audit_reads"), 5);
}
