//! The drill: a backup is restored elsewhere and verified there.

use crate::log::{PUBLIC_KEY, anchored};
use std::path::Path;
use std::process::Command;
use system_tests::server::{Options, binary};
use system_tests::{images, postgres, root};

fn drill(url: &str, anchor: &Path) -> (bool, String) {
    let done = Command::new(root().join("scripts/restore-drill.sh"))
        .args([url, PUBLIC_KEY])
        .arg(anchor)
        .env("CXR_SERVICE", binary())
        .output()
        .unwrap();
    let told = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&told).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_and_verifies_and_a_tampered_one_does_not() {
    let url = postgres::shared().database();
    let folder = tempfile::tempdir().unwrap();
    let anchor = folder.path().join("anchor");
    let options = Options::on(&url).set("audit.anchor.directory", &anchor.display());
    let server = options.set("audit.anchor.interval_ms", &1).start_ready().await;
    for n in 0..4 {
        assert_eq!(server.post("", images::jpeg(n, n % 2 == 0)).await.status(), 200);
    }
    anchored(&anchor, 4).await;
    let (restored, told) = drill(&url, &anchor);
    assert!(
        restored && told.contains("4 leaves, 4 rows verified") && told.contains("is what was signed"),
        "{told}"
    );

    let table =
        postgres::psql(&url, "select name from predictions_months where now() between starts and ends")
            .unwrap();
    postgres::psql(
        &url,
        &format!("alter table {table} disable trigger all; update {table} set input_bytes = 1"),
    )
    .unwrap();
    let (restored, told) = drill(&url, &anchor);
    assert!(!restored && told.contains("WRONG at leaf 0"), "{told}");
}
