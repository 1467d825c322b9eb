//! An alarm from the baseline to its resolution.

use crate::bulk::{Bulk, insert, monitor, read, replayed, replica};
use system_tests::eventually;
use system_tests::log::number;
use system_tests::postgres::{psql, shared};

const SMALL: [&str; 6] = ["--min-images", "500", "--min-weeks", "2", "--years", "10"];

/// Proposes baselines for all images and approves them.
fn approve_baselines(url: &str, from: &[&str]) {
    let (proposed, output) = monitor(url, &[&["baseline", "propose"], &SMALL[..], from].concat());
    assert!(proposed, "{output}");
    let ids = "select baseline_id from monitoring_baselines where baseline_id not in (select baseline_id from monitoring_approvals)";
    let ids = psql(url, ids).unwrap();
    assert_eq!(ids.lines().count(), 2, "{output}");
    for id in ids.lines() {
        let (approved, output) =
            monitor(url, &["baseline", "approve", id, "--reason", "weeks without findings"]);
        assert!(approved && output.contains("approved baseline"), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shift_raises_an_alarm_that_is_acknowledged_and_resolved() {
    let url = shared().database();
    insert(&url, &Bulk { n: 2200, from: "now() - interval '24 days'", every_s: 900, shift: 0.0 });
    let _server = replica(&url).set("monitoring.tickets_per_year", &20).start_ready().await;
    read(&url, 2200, 20).await;

    let (proposed, output) = monitor(&url, &["baseline", "propose"]);
    assert!(!proposed && output.contains("a baseline needs 5000"), "{output}");
    approve_baselines(&url, &[]);
    insert(&url, &Bulk { n: 400, from: "now() - interval '10 hours'", every_s: 60, shift: 0.4 });
    let opened =
        async || number(&url, "select count(*) from monitoring_alarms where detector = 'inputs'") == 1;
    eventually(15, "no alarm", opened).await;
    let leaf = number(&url, "select opened_leaf from monitoring_alarms where detector = 'inputs'");
    assert!((2200..2400).contains(&leaf), "opened at leaf {leaf}");
    let (_, listed) = monitor(&url, &["alarms", "list"]);
    assert!(listed.contains("ticket inputs of main all images"), "{listed}");
    let id = psql(&url, "select alarm_id from monitoring_alarms where detector = 'inputs'").unwrap();
    let (acknowledged, output) = monitor(&url, &["alarms", "ack", &id]);
    assert!(acknowledged && output.contains("acknowledged by database:cxr"), "{output}");
    let (resolved, output) = monitor(&url, &["alarms", "resolve", &id, "--reason", "exposure repaired"]);
    assert!(!resolved && output.contains("approve a new baseline"), "{output}");
    // The shift is what the site wants from now on.
    insert(&url, &Bulk { n: 10, from: "now() - interval '1 hour'", every_s: 60, shift: 0.4 });
    approve_baselines(&url, &[]);
    let (resolved, output) = monitor(&url, &["alarms", "resolve", &id, "--reason", "exposure repaired"]);
    assert!(resolved && output.contains("resolved by database:cxr"), "{output}");
    insert(&url, &Bulk { n: 50, from: "now() - interval '30 minutes'", every_s: 30, shift: 0.0 });
    read(&url, 2660, 10).await;
    assert_eq!(number(&url, "select count(*) from operations where action = 'alarm.resolve'"), 1);
    assert_eq!(number(&url, "select count(*) from operations where action = 'monitoring.approved'"), 4);
    replayed(&url);
}
