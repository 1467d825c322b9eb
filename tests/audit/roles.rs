//! Database roles: what each may do in each table, and the whole service with its roles only.

use crate::log::{export, number, sequenced, verify};
use system_tests::postgres::{Session, as_user};
use system_tests::server::Options;
use system_tests::{eventually, images, postgres};

/// Tables whose rows never change.
const WRITTEN_ONCE: [&str; 6] =
    ["predictions", "shadow_predictions", "audit_leaves", "audit_hashes", "audit_checkpoints", "audit_reads"];

/// The group roles.
const ROLES: [&str; 4] = ["writer", "auditor", "monitor", "backup"];

fn month(url: &str) -> String {
    postgres::psql(url, "select name from predictions_months where now() between starts and ends").unwrap()
}

async fn sessions(url: &str) -> Vec<(&'static str, Session)> {
    let mut sessions = Vec::new();
    for role in ROLES {
        sessions.push((role, Session::open(&as_user(url, role)).await));
    }
    sessions
}

/// Runs a statement and rolls it back; the error is the reason for a refusal.
async fn undone(session: &mut Session, statement: &str) -> Result<(), String> {
    session.run("begin").await.expect("a transaction");
    let result = session.run(statement).await;
    session.run("rollback").await.expect("its end");
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn no_role_can_change_written_rows() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    assert_eq!(server.post("", images::jpeg(1, false)).await.status(), 200);
    sequenced(&url, 1).await;
    let mut owner = Session::open(&url).await;
    let mut sessions = sessions(&url).await;
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
        for (role, session) in &mut sessions {
            for statement in changes.iter().chain(&definitions) {
                let refused = session.run(statement).await.unwrap_err();
                let for_the_right_reason =
                    refused.contains("permission denied") || refused.contains("must be owner of");
                assert!(for_the_right_reason, "{role}: {statement}: {refused}");
            }
        }
        // The owner migrates and may change definitions, but not rows.
        for statement in &changes {
            let refused = owner.run(statement).await.unwrap_err();
            assert!(refused.contains("append-only"), "owner: {statement}: {refused}");
        }
    }
    assert_eq!(number(&url, "select count(*) from predictions"), 1);
    assert_eq!(number(&url, "select count(*) from audit_leaves"), 1);
    assert_eq!(number(&as_user(&url, "monitor"), "select sum(n) from prediction_counts"), 1);
}

/// Tables and views, and what writer, auditor, monitor and backup may do there: select, insert, update,
/// delete, truncate. One month stands for all.
const RIGHTS: [(&str, [&str; 4]); 32] = [
    ("_sqlx_migrations", ["s", "s", "s", "s"]),
    ("audit_checkpoints", ["si", "s", "", "s"]),
    ("audit_hashes", ["si", "s", "", "s"]),
    ("audit_leaves", ["si", "s", "", "s"]),
    ("audit_pending", ["sid", "s", "", "s"]),
    ("audit_reads", ["i", "s", "", "s"]),
    ("current_labels", ["", "s", "", "s"]),
    ("idempotency_keys", ["sid", "", "", "s"]),
    ("labels", ["si", "s", "", "s"]),
    ("model_states", ["si", "s", "", "s"]),
    ("monitoring_alarm_events", ["si", "s", "", "s"]),
    ("monitoring_alarms", ["si", "s", "s", "s"]),
    ("monitoring_approvals", ["si", "s", "", "s"]),
    ("monitoring_baselines", ["si", "s", "", "s"]),
    ("monitoring_cursor", ["su", "s", "s", "s"]),
    ("monitoring_decisions", ["si", "s", "", "s"]),
    ("monitoring_detectors", ["siu", "s", "", "s"]),
    ("monitoring_label_rows", ["s", "s", "s", "s"]),
    ("monitoring_labels", ["si", "s", "", "s"]),
    ("monitoring_results", ["siu", "s", "s", "s"]),
    ("monitoring_rows", ["s", "s", "s", "s"]),
    ("monitoring_salt", ["", "", "", "s"]),
    ("monitoring_streams", ["si", "s", "s", "s"]),
    ("monitoring_windows", ["sid", "s", "s", "s"]),
    ("operations", ["si", "s", "", "s"]),
    ("prediction_counts", ["", "s", "s", "s"]),
    ("predictions", ["i", "s", "", "s"]),
    ("predictions_months", ["s", "s", "s", "s"]),
    (MONTH, ["", "", "", "s"]),
    ("review_samples", ["si", "s", "", "s"]),
    ("shadow_predictions", ["i", "s", "", "s"]),
    ("subjects", ["sid", "", "", "s"]),
];
const MONTH: &str = "the month";

#[tokio::test(flavor = "multi_thread")]
async fn each_role_has_exactly_the_rights_that_it_needs_in_each_table() {
    let url = postgres::shared().database();
    let month = month(&url);
    let mut sessions = sessions(&url).await;
    let tables = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f') \
        and not relispartition order by 1";
    let tables = postgres::psql(&url, tables).unwrap();
    let known: Vec<&str> = RIGHTS.iter().map(|(table, _)| *table).filter(|table| *table != MONTH).collect();
    assert_eq!(
        tables.lines().collect::<Vec<_>>(),
        known,
        "RIGHTS has a row for each table: add or remove one"
    );
    for (table, rights) in RIGHTS {
        let table = if table == MONTH { &month } else { table };
        let column = format!(
            "select attname from pg_attribute where attrelid = '{table}'::regclass and attnum > 0 order by attnum limit 1"
        );
        let column = postgres::psql(&url, &column).unwrap();
        let statements = [
            ('s', format!("select 1 from {table} limit 0")),
            ('i', format!("insert into {table} default values")),
            ('u', format!("update {table} set {column} = null where false")),
            ('d', format!("delete from {table} where false")),
            ('t', format!("truncate {table}")),
        ];
        for ((role, session), may) in sessions.iter_mut().zip(rights) {
            for (right, statement) in &statements {
                // The missing right must be the reason.
                let result = undone(session, statement).await;
                let denied = result.is_err_and(|refused| {
                    refused.contains("permission denied for")
                        || refused.contains("is not a table")
                        || refused.contains("cannot delete from view")
                        || refused.contains("cannot insert into view")
                        || refused.contains("cannot update view")
                });
                assert_eq!(denied, !may.contains(*right), "{role}: {statement}");
            }
        }
    }
    let calls = [
        ("make_months(0)", ["writer"].as_slice()),
        ("note_read(gen_random_uuid(), '{}', 0)", &["writer", "auditor"]),
    ];
    for (call, may) in calls {
        for (role, session) in &mut sessions {
            let result = undone(session, &format!("select {call}")).await;
            let denied = result.is_err_and(|refused| refused.contains("permission denied for function"));
            assert_eq!(denied, !may.contains(role), "{role}: {call}");
        }
    }
}

/// The owner need not be a superuser, and cannot change a row either.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_without_superuser_rights_migrates_and_serves_and_cannot_change_rows() {
    let cluster = postgres::shared();
    // Roles belong to the cluster, and exist already.
    let migrated = cluster.database();
    as_user(&migrated, "writer");
    let (owner, name) = ("plain_owner", format!("plain_{}", std::process::id()));
    cluster.psql("postgres", &format!("create role {owner} login"));
    cluster.psql("postgres", &format!("create database {name} owner {owner}"));
    let url = cluster.url(&name);
    let owners = url.replacen("cxr@", &format!("{owner}@"), 1);
    assert_ne!(url, owners);
    let migrated = std::process::Command::new(system_tests::server::binary())
        .arg("migrate")
        .env("CXR_PROFILE", "development")
        .env("CXR_SERVICE__DATABASE__URL", &owners)
        .output()
        .unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let server = Options::on(&as_user(&url, "writer")).set("database.reader_url", &as_user(&url, "auditor"));
    let server = server.start_ready().await;
    assert_eq!(server.post("", images::jpeg(1, false)).await.status(), 200);
    sequenced(&url, 1).await;
    // Backups can read months that the writer created through the owner's function.
    postgres::psql(&as_user(&url, "writer"), "select make_months(5)").unwrap();
    let newest = "select name from predictions_months order by starts desc limit 1";
    let newest = postgres::psql(&url, newest).unwrap();
    assert_eq!(number(&as_user(&url, "backup"), &format!("select count(*) from {newest}")), 0);
    for table in WRITTEN_ONCE.map(String::from).iter().chain(&[month(&url)]) {
        for change in [format!("delete from {table}"), format!("truncate {table} cascade")] {
            let refused = postgres::psql(&owners, &change).unwrap_err();
            assert!(refused.contains("append-only"), "{change}: {refused}");
            let unwatched = format!("set session_replication_role = replica; {change}");
            let refused = postgres::psql(&owners, &unwatched).unwrap_err();
            assert!(refused.contains("permission denied to set parameter"), "{unwatched}: {refused}");
        }
    }
    assert_eq!(number(&url, "select count(*) from predictions"), 1);
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
    assert_eq!(number(&url, "select count(*) from audit_reads"), 2);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(verify(&export(&auditor, folder.path()), &[]).0, 0);
    assert!(!server.log().contains("permission denied"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_unready_as_a_user_who_could_change_the_log() {
    let url = postgres::shared().database();
    let refused = Options::on(&url).set("database.refuse_owner", &true).start().await;
    refused.wait_ready(false).await;
    let answer = refused.client.get(format!("{}/readyz", refused.base)).send().await.unwrap();
    let body = answer.text().await.unwrap();
    assert!(body.contains("could change the log") && body.contains("cxr_writer"), "{body}");
    let writer = Options::on(&as_user(&url, "writer")).set("database.refuse_owner", &true);
    writer.set("database.reader_url", &as_user(&url, "auditor")).start_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn months_are_created_in_advance_by_a_user_who_may_not_create_tables() {
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
    eventually(20, "the month is not created", async || number(&url, missing) == 0).await;
    let triggers =
        format!("select count(*) from pg_trigger where tgrelid = '{last}'::regclass and tgenabled = 'A'");
    assert_eq!(number(&url, &triggers), 1);
}

/// A database from before the partitioning by month keeps its rows.
#[test]
fn rows_from_before_the_partitioning_are_kept() {
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
