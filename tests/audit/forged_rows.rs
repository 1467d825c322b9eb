//! Attacks with access to the database but not to the service's keys: rows and leaves that the service did
//! not write.

use crate::log::{anchored, export, number, sequenced, verify};
use serde_json::Value;
use std::path::Path;
use system_tests::postgres;
use system_tests::server::{Options, Server};

/// A copy of the first row with another id.
const FORGED: &str = "
    insert into predictions select (jsonb_populate_record(p, jsonb_build_object('id', $id))).* from predictions p order by id limit 1";

fn forged(id: &str) -> String {
    FORGED.replace("$id", &format!("'{id}'::text"))
}

/// An id of this moment.
fn fresh(url: &str) -> String {
    let query = "select overlay(first_id(clock_timestamp())::text placing '7000-8' from 15 for 6)";
    postgres::psql(url, query).unwrap()
}

/// Waits until a metric has a value.
async fn reads(server: &Server, metric: &str, value: f64) {
    server.eventually(10, metric, async || server.metric(metric).await == Some(value)).await;
}

/// A database with four anchored rows, without connections.
async fn log(folder: &Path) -> String {
    let url = postgres::shared().database();
    let anchor = folder.join("anchor");
    let options = Options::on(&url).set("audit.anchor.directory", &anchor.display());
    let options = options.set("audit.anchor.interval_ms", &1).set("audit.sequence.interval_ms", &20);
    let server = options.start_ready().await;
    server.post_phantoms(4).await;
    anchored(&anchor, 4).await;
    url
}

fn verified(url: &str, folder: &Path, more: &[&str]) -> (i32, Value) {
    let exported = export(url, folder);
    let anchor = folder.join("anchor");
    let mut arguments = vec!["--checkpoints".as_ref(), anchor.as_os_str()];
    arguments.extend(more.iter().map(|argument| std::ffi::OsStr::new(*argument)));
    verify(&exported, &arguments)
}

fn first(report: &Value) -> (u64, String) {
    let first = &report["findings"][0];
    (first["leaf_index"].as_u64().expect("a finding"), first["what"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_cannot_be_deleted_by_giving_its_leaf_an_old_id() {
    let folder = tempfile::tempdir().unwrap();
    let url = log(folder.path()).await;
    let (status, report) = verified(&url, folder.path(), &["--kept-from", "2025-01-01T00:00:00Z"]);
    assert_eq!((status, report["n_rows_verified"].as_u64()), (0, Some(4)), "{report}");
    let old = "018bcfe5-687b-7000-8000-000000000001";
    postgres::psql(
        &url,
        &format!(
            "alter table predictions disable trigger all; alter table audit_leaves disable trigger all; \
             do $$ declare month text; begin select tableoid::regclass into month from predictions limit 1; \
                 execute format('alter table %s disable trigger all', month); end $$; \
             delete from predictions where id = (select prediction_id from audit_leaves where leaf_index = 2); \
             update audit_leaves set prediction_id = '{old}' where leaf_index = 2"
        ),
    )
    .unwrap();
    let (status, report) = verified(&url, folder.path(), &["--kept-from", "2025-01-01T00:00:00Z"]);
    let (index, what) = first(&report);
    assert_eq!((status, index), (1, 2), "{report}");
    assert!(what.contains(old) && what.contains("does not match its id"), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_a_leaf_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let url = log(folder.path()).await;
    let id = fresh(&url);
    postgres::psql(&url, &forged(&id)).unwrap();
    let (status, report) = verified(&url, folder.path(), &[]);
    let (index, what) = first(&report);
    assert_eq!((status, index), (1, 4), "{report}");
    assert!(what.contains(&id) && what.contains("has no leaf"), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_pending_leaf_is_not_sequenced() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres::shared().database();
    let server = Options::on(&url).set("audit.sequence.interval_ms", &20).start_ready().await;
    server.post_phantoms(2).await;
    sequenced(&url, 2).await;
    let id = fresh(&url);
    // With an invalid code, because the key is not in the database.
    let made_up = format!(
        "insert into audit_pending (prediction_id, leaf_hash, row_hash, code) \
         select id, sha256('\\x00'::bytea || uuid_send(id) || digest), digest, sha256('made up') \
         from (select '{id}'::uuid as id, sha256('x') as digest) as forged"
    );
    postgres::psql(&url, &format!("{}; {made_up}", forged(&id))).unwrap();
    reads(&server, "cxr_audit_foreign_leaves", 1.0).await;
    // Other leaves are sequenced, and the forged one stays pending and visible.
    server.post_phantoms(2).await;
    sequenced(&url, 4).await;
    reads(&server, "cxr_audit_tree_size", 4.0).await;
    assert!(server.log().contains(&id), "{}", server.log());
    assert_eq!(postgres::psql(&url, "select prediction_id from audit_pending").unwrap(), id);
    assert_eq!(number(&url, &format!("select count(*) from audit_leaves where prediction_id = '{id}'")), 0);
    let exported = export(&url, folder.path());
    let (status, report) = verify(&exported, &[]);
    assert_eq!((status, report["n_rows_waiting"].as_u64()), (0, Some(1)), "{report}");
    // Hours later, no genuine row would still be pending.
    let text = std::fs::read_to_string(&exported).unwrap();
    let earlier = postgres::psql(
        &url,
        "select overlay(first_id(clock_timestamp() - interval '3 hours')::text placing '7000-8' from 15 for 6)",
    );
    std::fs::write(&exported, text.replace(&id, &earlier.unwrap())).unwrap();
    let (status, report) = verify(&exported, &[]);
    assert!(status == 1 && first(&report).1.contains("too old or in the future"), "{report}");
}
