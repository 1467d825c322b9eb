//! README.md and docs/OPERATIONS.md, executed: from the default bundle to a production service, each command
//! as the user that the page names.

use std::process::Command;
use system_tests::postgres::psql;
use system_tests::server::{Server, problem};
use system_tests::site::Site;
use system_tests::{images, log};

async fn post(site: &Site, server: &Server) {
    let request = server.prediction("?age=003Y&view=AP");
    let answer = request.bearer_auth(site.token("predict")).body(images::jpeg(1, true)).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_steps_lead_to_a_production_service() {
    let site = Site::migrated();
    let server = site.options().start_ready().await;
    post(&site, &server).await;
    log::anchored(&site.anchor(), 1).await;

    // A reload at the address for clients gets an answer that names the other address.
    let reload =
        server.client.post(format!("{}/v1/model/reload", server.base)).bearer_auth(site.token("admin"));
    let body = problem(reload.send().await.unwrap(), 404, "not_found").await;
    assert!(body["detail"].as_str().unwrap().contains("service.http.operations_bind"), "{body}");
    let operators = server.operators_address();
    let reload = server.client.post(format!("http://{operators}/v1/model/reload"));
    assert_eq!(reload.bearer_auth(site.token("admin")).send().await.unwrap().status(), 200);
    let predict = server.client.post(format!("http://{operators}/v1/predictions"));
    let body =
        problem(predict.bearer_auth(site.token("predict")).send().await.unwrap(), 404, "not_found").await;
    assert!(body["detail"].as_str().unwrap().contains("service.http.bind"), "{body}");

    // Commands of the owner, as other users.
    let (key, anchor) = (site.config().join("log.pub"), site.anchor());
    let (key, anchor) = (key.to_str().unwrap(), anchor.to_str().unwrap());
    let retain = ["audit", "retain", "--keep-months", "12", "--public-key", key, "--checkpoints", anchor];
    let month = psql(&site.url("cxr_watcher"), "select name from predictions_months order by starts limit 1")
        .unwrap();
    let hold = ["audit", "hold", "--month", &month, "--reason", "case 17"];
    for command in [retain.as_slice(), &hold] {
        let (done, output) = site.run(command);
        assert!(
            !done && output.contains("needs the owner") && output.contains("logs in as cxr_service"),
            "{output}"
        );
        let (done, output) = site.run_as("cxr_owner", command);
        assert!(done, "{command:?}: {output}");
    }
    let (done, output) = site.run_as("cxr_watcher", &["audit", "hold"]);
    assert!(done && output.contains("case 17"), "{output}");
    let (done, output) = site.run_as("cxr_reader", &["migrate"]);
    assert!(
        !done && output.contains("permission denied") && output.contains("docs/OPERATIONS.md"),
        "{output}"
    );

    let export = site.folder.path().join("log.ndjson");
    let export = export.to_str().unwrap();
    let (done, output) = site.run(&["audit", "export", "--out", export]);
    assert!(done, "{output}");
    let (done, output) =
        site.run(&["audit", "verify", "--export", export, "--public-key", key, "--checkpoints", anchor]);
    assert!(done && output.contains("1 leaves, 1 rows verified"), "{output}");
    let (dumper, dump) = (site.url("cxr_dumper"), site.folder.path().join("dump"));
    let dumped = Command::new("pg_dump")
        .args(["--format=custom", "--file", dump.to_str().unwrap(), "--dbname", &dumper])
        .output();
    let dumped = dumped.unwrap();
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    assert_eq!(psql(&site.url("cxr_watcher"), "select sum(n) from prediction_counts").unwrap(), "1");
    let refused = psql(&site.url("cxr_watcher"), "select * from predictions").unwrap_err();
    assert!(refused.contains("permission denied"), "{refused}");
    assert!(!server.log().contains("permission denied"), "{}", server.log());
}

/// Without the group roles, the message and hint of Postgres appear once.
#[test]
fn an_owner_who_may_not_create_roles_gets_the_hint_of_postgres() {
    let site = Site::prepared();
    site.cluster.psql("postgres", "drop role cxr_service");
    site.cluster.psql("postgres", "revoke connect on database cxr from cxr_writer");
    site.cluster.psql("postgres", "drop role cxr_writer");
    let (done, output) = site.run_as("cxr_owner", &["migrate"]);
    let once = "the role cxr_writer does not exist, and cxr_owner may not create it";
    assert!(!done && output.matches(once).count() == 1, "{output}");
    assert!(output.contains("CREATE ROLE cxr_writer NOLOGIN; or give this user CREATEROLE"), "{output}");
    assert!(
        output.contains("migration 5") && !output.contains("pl_exec") && !output.contains(".c:"),
        "{output}"
    );
    site.cluster.psql("postgres", "alter role cxr_owner createrole");
    let (done, output) = site.run_as("cxr_owner", &["migrate"]);
    assert!(done && output.contains("the schema is current"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_that_cannot_be_written_is_logged_at_start() {
    let site = Site::migrated();
    let file = site.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let server = site.options().set("audit.anchor.directory", &file.display()).start_ready().await;
    let logged = async || server.log().contains("writing checkpoints to the anchor failed");
    server.eventually(10, "the failure is not logged", logged).await;
}
