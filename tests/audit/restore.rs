//! Backups: the restore drill verifies one, and a destroyed database is restored from it.

use crate::log::{PUBLIC_KEY, anchored, export, number, verify};
use std::path::Path;
use std::process::Command;
use system_tests::postgres::{as_user, psql};
use system_tests::server::{Options, binary};
use system_tests::{images, postgres, root};

fn drill(url: &str, anchor: &Path, dump: Option<&Path>) -> (bool, String) {
    let done = Command::new(root().join("scripts/restore-drill.sh"))
        .args([url, PUBLIC_KEY])
        .arg(anchor)
        .args(dump)
        .env("CXR_SERVICE", binary())
        .output()
        .unwrap();
    let output = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&output).into_owned())
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn verifies((restored, output): &(bool, String)) {
    assert!(
        *restored && output.contains("4 leaves, 4 rows verified") && output.contains("and its log verifies"),
        "{output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_database_is_restored_from_its_backup_and_a_tampered_backup_is_detected() {
    let cluster = postgres::shared();
    let url = cluster.database();
    let folder = tempfile::tempdir().unwrap();
    let anchor = folder.path().join("anchor");
    let on = |url: &str| {
        let options =
            Options::on(&as_user(url, "writer")).set("database.reader_url", &as_user(url, "auditor"));
        options.set("audit.anchor.directory", &anchor.display()).set("audit.anchor.interval_ms", &1)
    };
    let server = on(&url).start_ready().await;
    for n in 0..4 {
        let request = server.prediction("");
        let request =
            request.bearer_auth(system_tests::tokens::token("predict")).header("x-subject-id", "MRN 7");
        let answer =
            request.header("idempotency-key", format!("k{n}")).body(images::jpeg(n, n % 2 == 0)).send();
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    anchored(&anchor, 4).await;
    // A month that was created after the roles is in the backup too.
    psql(&url, "select make_months(6)").unwrap();

    // The role `cxr_backup` suffices for a backup; `cxr_auditor` does not.
    let backup = as_user(&url, "backup");
    verifies(&drill(&backup, &anchor, None));
    let (dumped, output) = drill(&as_user(&url, "auditor"), &anchor, None);
    assert!(!dumped && output.contains("permission denied for table"), "{output}");
    let refused =
        psql(&backup, "insert into audit_pending values (gen_random_uuid(), sha256('x'))").unwrap_err();
    assert!(refused.contains("permission denied"), "{refused}");

    let dump = folder.path().join("dump");
    run(Command::new("pg_dump").args(["--format=custom", "--dbname", &backup, "--file"]).arg(&dump));
    drop(server);
    let name = postgres::name(&url).to_owned();
    cluster.psql("postgres", &format!("drop database {name} with (force)"));
    assert!(psql(&url, "select 1").unwrap_err().contains("does not exist"));
    verifies(&drill(&url, &anchor, Some(&dump)));

    // Restored in place with all rights, the log continues.
    cluster.psql("postgres", &format!("create database {name}"));
    run(Command::new("pg_restore").args(["--exit-on-error", "--dbname", &url]).arg(&dump));
    assert_eq!(number(&url, "select count(*) from subjects"), 1);
    let server = on(&url).start_ready().await;
    assert_eq!(server.post("", images::jpeg(9, true)).await.status(), 200);
    anchored(&anchor, 5).await;
    let (status, report) = verify(
        &export(&as_user(&url, "auditor"), folder.path()),
        &["--checkpoints".as_ref(), anchor.as_os_str()],
    );
    assert_eq!((status, report["anchored_size"].as_u64()), (0, Some(5)), "{report}");

    let table =
        psql(&url, "select name from predictions_months where now() between starts and ends").unwrap();
    psql(&url, &format!("alter table {table} disable trigger all; update {table} set input_bytes = 1"))
        .unwrap();
    let (restored, output) = drill(&as_user(&url, "backup"), &anchor, None);
    assert!(!restored && output.contains("WRONG at leaf 0"), "{output}");
}
