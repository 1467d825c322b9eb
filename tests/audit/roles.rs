//! What each role of the database may not do, tried as that role; and the whole service with nothing but its own roles.

use crate::log::{export, number, sequenced, verify};
use system_tests::postgres::as_user;
use system_tests::server::Options;
use system_tests::{images, postgres};

/// Tables whose rows never change.
const WRITTEN_ONCE: [&str; 6] =
    ["predictions", "shadow_predictions", "audit_leaves", "audit_hashes", "audit_checkpoints", "audit_reads"];

fn month(url: &str) -> String {
    postgres::psql(url, "select name from predictions_months where now() between starts and ends").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_role_changes_what_is_written() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    assert_eq!(server.post("", images::jpeg(1, false)).await.status(), 200);
    sequenced(&url, 1).await;
    let mut tables: Vec<String> = WRITTEN_ONCE.map(String::from).to_vec();
    tables.push(month(&url));
    for table in &tables {
        let column = postgres::psql(
            &url,
            &format!(
                "select attname from pg_attribute where attrelid = '{table}'::regclass and attnum > 0 order by attnum limit 1"
            ),
        );
        let column = column.unwrap();
        let changes = [
            format!("update {table} set {column} = {column}"),
            format!("update {table} set {column} = {column} where false"),
            format!("delete from {table}"),
            format!("truncate {table} cascade"),
            format!("set session_replication_role = replica; delete from {table}"),
        ];
        let definitions = [
            format!("alter table {table} add column another text"),
            format!("alter table {table} disable trigger all"),
            format!("drop table {table}"),
            "create or replace function refuse_change() returns trigger language plpgsql as 'begin return null; end'".to_owned(),
        ];
        for role in ["writer", "auditor", "monitor"] {
            for statement in changes.iter().chain(&definitions) {
                let refused = postgres::psql(&as_user(&url, role), statement);
                assert!(refused.is_err(), "{role}: {statement}");
            }
        }
        // The owner migrates, so definitions are his; rows are nobody's.
        for statement in &changes {
            let refused = postgres::psql(&url, statement).unwrap_err();
            assert!(refused.contains("append-only"), "owner: {statement}: {refused}");
        }
    }
    assert_eq!(number(&url, "select count(*) from predictions"), 1);
    assert_eq!(number(&url, "select count(*) from audit_leaves"), 1);
    // Who only adds does not read, and who only reads does not add.
    assert!(postgres::psql(&as_user(&url, "writer"), "select * from predictions").is_err());
    for table in WRITTEN_ONCE.iter().chain(&["audit_pending"]) {
        assert!(
            postgres::psql(&as_user(&url, "auditor"), &format!("insert into {table} default values"))
                .is_err()
        );
        assert!(postgres::psql(&as_user(&url, "monitor"), &format!("select * from {table}")).is_err());
    }
    assert_eq!(number(&as_user(&url, "monitor"), "select sum(n) from prediction_counts"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_needs_no_more_than_its_roles() {
    let url = postgres::shared().database();
    let (writer, auditor) = (as_user(&url, "writer"), as_user(&url, "auditor"));
    let server = Options::on(&writer).set("database.reader_url", &auditor).start_ready().await;
    for n in 0..3 {
        assert_eq!(server.post("", images::jpeg(n, false)).await.status(), 200);
    }
    sequenced(&url, 3).await;
    let page = crate::log::ask(&server, "/v1/predictions").await;
    let id = page["items"][2]["id"].as_str().unwrap();
    crate::log::ask(&server, &format!("/v1/audit/proofs/{id}")).await;
    assert_eq!(number(&url, "select count(*) from audit_reads"), 1);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(verify(&export(&auditor, folder.path()), &[]).0, 0);
    assert!(!server.log().contains("permission denied"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_could_change_the_log_serves_nobody_in_production() {
    let url = postgres::shared().database();
    let refused = Options::on(&url).set("database.refuse_owner", &true).start().await;
    refused.wait_ready(false).await;
    let answer = refused.client.get(format!("{}/readyz", refused.base)).send().await.unwrap();
    let told = answer.text().await.unwrap();
    assert!(told.contains("could change the log") && told.contains("cxr_writer"), "{told}");
    let writer = Options::on(&as_user(&url, "writer")).set("database.refuse_owner", &true);
    writer.set("database.reader_url", &as_user(&url, "auditor")).start_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn months_are_made_ahead_by_whoever_may_not_make_tables() {
    let url = postgres::shared().database();
    let missing = "select count(*) from generate_series(0, 3) n where not exists (select from predictions_months \
        where now() + n * interval '1 month' >= starts and now() + n * interval '1 month' < ends)";
    assert_eq!(number(&url, missing), 0);
    postgres::psql(&url, "drop table predictions_before_months").unwrap_err();
    let last =
        postgres::psql(&url, "select name from predictions_months order by starts desc limit 1").unwrap();
    postgres::psql(&url, &format!("drop table {last}; delete from predictions_months where name = '{last}'"))
        .unwrap();
    assert_eq!(number(&url, missing), 1);
    let _server = Options::on(&as_user(&url, "writer")).set("database.reader_url", &url).start_ready().await;
    let begun = std::time::Instant::now();
    while number(&url, missing) > 0 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "the month is not made");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let triggers =
        format!("select count(*) from pg_trigger where tgrelid = '{last}'::regclass and tgenabled = 'A'");
    assert_eq!(number(&url, &triggers), 1);
}

/// A database that was in use before there were months keeps its rows, and they are found.
#[test]
fn rows_from_before_the_months_stay_where_they_are() {
    let cluster = postgres::shared();
    let name = format!("before_months_{}", std::process::id());
    cluster.psql("postgres", &format!("create database {name}"));
    let migrations = system_tests::root().join("migrations");
    let apply = |file: &str| {
        let sql = std::fs::read_to_string(migrations.join(file)).unwrap();
        cluster.psql(&name, &format!("begin; {sql}; commit"));
    };
    for file in ["0001_predictions.sql", "0002_expired_and_shadow.sql", "0003_tree.sql"] {
        apply(file);
    }
    let insert = |id: &str| {
        format!(
            "insert into predictions (id, request_id, received_at, actor, site, encoding_version, outcome, reason, \
             input_digest, input_bytes, timings) values ('{id}', 'r', now(), 'a', 's', 1, 'rejected', 'blank', sha256('x'), 1, '{{}}')"
        )
    };
    cluster.psql(&name, &insert("01933c5e-6f0e-7d4e-9a51-1f2f3c4d5e6f"));
    apply("0004_partitions.sql");
    let of = "select tableoid::regclass from predictions";
    assert_eq!(cluster.psql(&name, of), "predictions_before_months");
    cluster.psql(&name, &insert("01933c5e-6f0e-7d4e-9a51-1f2f3c4d5e70"));
    let next = "select first_id(date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' + interval '40 days')";
    cluster.psql(&name, &insert(&cluster.psql(&name, next)));
    assert_eq!(cluster.psql(&name, &format!("select count(*) from ({of} group by 1) t")), "2");
    let refused = postgres::psql(&cluster.url(&name), "delete from predictions_before_months").unwrap_err();
    assert!(refused.contains("append-only"), "{refused}");
}
