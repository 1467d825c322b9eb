//! Retention: which months are dropped, which are not, and what remains of a dropped month.

use crate::log::{PUBLIC_KEY, anchored, export, insert_pending_leaves, number, sequenced, verify};
use std::path::Path;
use std::time::{Duration, Instant};
use system_tests::server::Options;
use system_tests::{images, postgres};

/// Creates an old month with rows and pending leaves, as if the service had run then.
fn long_ago(url: &str, name: &str, month: &str, n: u32) {
    let bound = |months: u32| format!("first_id(timestamptz '{month}' + {months} * interval '1 month')");
    let statements = format!(
        "do $$ begin execute format('create table {name} partition of predictions for values from (%L) to (%L)', {}, {}); end $$; \
         insert into predictions_months values ('{name}', timestamptz '{month}', timestamptz '{month}' + interval '1 month'); \
         insert into predictions (id, request_id, received_at, actor, site, encoding_version, outcome, reason, input_digest, \
             input_bytes, timings) \
         select overlay(first_id(timestamptz '{month}' + n * interval '1 hour')::text placing '7000-8' from 15 for 6)::uuid, 'r', timestamptz '{month}' + n * interval '1 hour', 'a', \
             's', 4, 'rejected', 'blank', sha256('x'), 1, '{{}}' from generate_series(1, {n}) n; {}",
        bound(0),
        bound(1),
        insert_pending_leaves(&format!("select id from {name}"))
    );
    postgres::psql(url, &statements).unwrap();
}

/// A service that anchors every checkpoint at once.
fn anchoring(url: &str, anchor: &Path) -> Options {
    let options = Options::on(url).set("audit.anchor.directory", &anchor.display());
    options.set("audit.anchor.interval_ms", &1).set("audit.sequence.interval_ms", &20)
}

fn run(url: &str, arguments: &[&str]) -> (bool, String) {
    Options::on(url).command_line(&[&["audit"], arguments].concat()).outcome()
}

fn retain(url: &str, anchor: &Path) -> (bool, String) {
    let anchor = anchor.display().to_string();
    run(url, &["retain", "--keep-months", "12", "--public-key", PUBLIC_KEY, "--checkpoints", &anchor])
}

#[tokio::test(flavor = "multi_thread")]
async fn only_months_that_are_anchored_and_not_held_are_dropped_and_their_leaves_stay() {
    let url = postgres::shared().database();
    let folder = tempfile::tempdir().unwrap();
    let anchor = folder.path().join("anchor");
    let options = anchoring(&url, &anchor);
    let server = options.start_ready().await;
    assert_eq!(server.post("", images::jpeg(1, false)).await.status(), 200);
    anchored(&anchor, 1).await;
    // The rows are inserted while no service runs.
    drop(server);
    long_ago(&url, "predictions_2019_03", "2019-03-01T00:00:00Z", 5);
    long_ago(&url, "predictions_2019_04", "2019-04-01T00:00:00Z", 7);
    let (ended_well, output) = retain(&url, &anchor);
    assert!(!ended_well && output.contains("5 rows are not in the tree yet"), "{output}");
    let version = |version: u8| {
        let change = format!("update predictions_2019_03 set encoding_version = {version}");
        let statements = ["alter table predictions_2019_03 disable trigger all", &change].join("; ");
        postgres::psql(&url, &statements).unwrap();
    };
    version(3);
    assert!(retain(&url, &anchor).1.contains("5 rows predate encoding version 4"));
    version(4);

    let server = options.start_ready().await;
    sequenced(&url, 13).await;
    anchored(&anchor, 13).await;
    // An older anchor does not cover the rows.
    let before = folder.path().join("before");
    std::fs::create_dir(&before).unwrap();
    std::fs::copy(anchor.join(format!("{:020}.checkpoint", 1)), before.join("checkpoint")).unwrap();
    let (ended_well, output) = retain(&url, &before);
    assert!(!ended_well && output.contains("needs an anchored checkpoint of"), "{output}");
    assert_eq!(number(&url, "select count(*) from predictions"), 13);

    let (held, output) = run(&url, &["hold", "--month", "predictions_2019_03", "--reason", "case 17"]);
    assert!(held && output.contains("predictions_2019_03, until 2019-04-01, case 17"), "{output}");
    let (ended_well, output) = retain(&url, &anchor);
    assert!(ended_well && output.contains("predictions_2019_03 kept: on hold"), "{output}");
    assert!(output.contains("predictions_2019_04 dropped: 7 rows"), "{output}");
    assert_eq!(number(&url, "select count(*) from predictions"), 6);
    assert_eq!(number(&url, "select count(*) from audit_leaves"), 13);

    assert!(run(&url, &["hold", "--month", "predictions_2019_03", "--release"]).0);
    assert!(!run(&url, &["hold", "--month", "predictions_2019_04", "--reason", "too late"]).0);
    assert!(retain(&url, &anchor).1.contains("predictions_2019_03 dropped: 5 rows"));
    assert_eq!(number(&url, "select count(*) from predictions"), 1);

    // The rest verifies; without `--kept-from` the verifier reports the missing rows. Proofs still hold.
    let exported = export(&url, folder.path());
    let arguments = ["--checkpoints".as_ref(), anchor.as_os_str()];
    let (status, report) = verify(&exported, &arguments);
    assert_eq!((status, report["findings"].as_array().unwrap().len()), (1, 12), "{report}");
    let kept = ["--kept-from".as_ref(), "2025-01-01T00:00:00Z".as_ref()];
    let (status, report) = verify(&exported, &[arguments.as_slice(), &kept].concat());
    assert_eq!((status, report["n_rows_absent"].as_u64()), (0, Some(12)), "{report}");
    let gone = postgres::psql(&url, "select prediction_id from audit_leaves order by prediction_id limit 1")
        .unwrap();
    let proof = crate::log::ask(&server, &format!("/v1/audit/proofs/{gone}")).await;
    assert_eq!(proof["tree_size"], 13);
}

/// Creating and dropping months beside a long export or backup does not block predictions.
#[tokio::test(flavor = "multi_thread")]
async fn creating_and_dropping_months_beside_a_long_export_blocks_no_prediction() {
    let url = postgres::shared().database();
    let folder = tempfile::tempdir().unwrap();
    let anchor = folder.path().join("anchor");
    let options = anchoring(&url, &anchor);
    let server = options.start_ready().await;
    long_ago(&url, "predictions_2019_03", "2019-03-01T00:00:00Z", 5);
    anchored(&anchor, 5).await;
    let last =
        postgres::psql(&url, "select name from predictions_months order by starts desc limit 1").unwrap();
    postgres::psql(&url, &format!("drop table {last}; delete from predictions_months where name = '{last}'"))
        .unwrap();
    let reading = std::thread::spawn({
        let url = url.clone();
        move || {
            postgres::psql(&url, "begin; select count(*) from predictions; select pg_sleep(25); commit")
                .unwrap()
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let busy = std::thread::spawn({
        let (url, anchor) = (url.clone(), anchor.clone());
        move || (postgres::psql(&url, "select make_months()"), retain(&url, &anchor))
    });
    let (mut longest, begun) = (Duration::ZERO, Instant::now());
    while !busy.is_finished() {
        let sent = Instant::now();
        assert_eq!(server.post("", images::jpeg(1, false)).await.status(), 200);
        longest = longest.max(sent.elapsed());
        assert!(begun.elapsed() < Duration::from_mins(1), "audit retain does not end");
    }
    let (made, (dropped, output)) = busy.join().unwrap();
    println!("longest answer {longest:?}");
    assert_eq!(made.as_deref(), Ok(last.as_str()));
    assert!(!dropped && output.contains("the log is being read"), "{output}");
    assert!(longest < Duration::from_secs(2), "an answer took {longest:?}");
    reading.join().unwrap();
    assert!(retain(&url, &anchor).1.contains("predictions_2019_03 dropped: 5 rows"));
}
