//! Reconciliation after a fault: answers with rows, rows with the tree.

use crate::load::Exchange;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::time::{Duration, Instant};
use system_tests::log::{self, export, number, verify};
use system_tests::postgres;

/// Asserts that every answered id has its row, every row was answered in the end, and no key has two rows.
pub(crate) fn reconcile(url: &str, exchanges: &[Exchange], settled: &[Exchange]) {
    let mut ids_of: HashMap<u64, HashSet<&str>> = HashMap::new();
    for exchange in exchanges.iter().chain(settled) {
        let Some(id) = exchange.id() else { continue };
        ids_of.entry(exchange.key).or_default().insert(id);
    }
    let twice: Vec<_> = ids_of.iter().filter(|(_, ids)| ids.len() > 1).take(3).collect();
    assert!(twice.is_empty(), "keys with more than one row: {twice:?}");
    let answered: HashSet<&str> = ids_of.values().flatten().copied().collect();
    assert_eq!(answered.len(), ids_of.len(), "two keys share a row");
    let text = postgres::psql(url, "select id from predictions").unwrap();
    let rows: Vec<&str> = text.lines().collect();
    let distinct: HashSet<&str> = rows.iter().copied().collect();
    assert_eq!(rows.len(), distinct.len(), "an id has two rows");
    let missing: Vec<_> = answered.difference(&distinct).take(3).collect();
    assert!(missing.is_empty(), "answered without a row: {missing:?}");
    let unknown: Vec<_> = distinct.difference(&answered).take(3).collect();
    assert!(unknown.is_empty(), "rows without an answer: {unknown:?}");
}

/// Waits until every row is in the tree, and returns how long that took.
pub(crate) async fn sequenced(url: &str) -> Duration {
    let begun = Instant::now();
    let rows = number(url, "select count(*) from predictions");
    log::sequenced(url, rows).await;
    assert_eq!(number(url, "select count(*) from audit_pending"), 0);
    begun.elapsed()
}

/// Asserts that the exported log verifies, with all rows and with the receipts of all answers.
pub(crate) fn assert_verifies(url: &str, answers: &[&Exchange]) {
    let folder = tempfile::tempdir().unwrap();
    let receipts = folder.path().join("answers.ndjson");
    let mut file = std::fs::File::create(&receipts).unwrap();
    for answer in answers {
        writeln!(file, "{}", answer.body).unwrap();
    }
    let arguments = ["--receipts".as_ref(), receipts.as_os_str()];
    let (status, report) = verify(&export(url, folder.path()), &arguments);
    assert_eq!(status, 0, "{report}");
    let rows = number(url, "select count(*) from predictions");
    assert_eq!(report["n_rows_verified"].as_u64(), Some(rows), "{report}");
    assert_eq!(report["n_receipts_verified"].as_u64(), Some(answers.len() as u64), "{report}");
}
