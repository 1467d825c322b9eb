//! A database that goes away, leaves without rows, and leaves that are not the service's.

use crate::bulk::{Bulk, insert, monitor, read, replayed, replica};
use std::time::Duration;
use system_tests::log::number;
use system_tests::postgres::{Cluster, psql, shared};

#[tokio::test(flavor = "multi_thread")]
async fn the_job_survives_a_database_that_is_away_and_says_so_once() {
    let cluster = Cluster::start();
    let url = cluster.database();
    insert(&url, &Bulk { n: 500, from: "now() - interval '1 day'", every_s: 60, shift: 0.0 });
    let server = replica(&url).set("database.acquire_timeout_ms", &500).start_ready().await;
    read(&url, 500, 20).await;
    cluster.stop();
    tokio::time::sleep(Duration::from_secs(5)).await;
    cluster.restart();
    insert(&url, &Bulk { n: 500, from: "now() - interval '2 hours'", every_s: 10, shift: 0.0 });
    read(&url, 1000, 15).await;
    let n_lines = server.log().lines().filter(|line| line.contains("monitoring stalled")).count();
    assert!((1..=3).contains(&n_lines), "{n_lines} lines in five seconds\n{}", server.log());
    replayed(&url);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_retention_dropped_are_counted_and_foreign_leaves_are_not() {
    let url = shared().database();
    insert(
        &url,
        &Bulk { n: 300, from: "date_trunc('month', now()) - interval '20 days'", every_s: 60, shift: 0.0 },
    );
    insert(&url, &Bulk { n: 200, from: "now() - interval '2 hours'", every_s: 10, shift: 0.0 });
    let month =
        psql(&url, "select to_char(now() at time zone 'UTC' - interval '1 month', 'YYYY_MM')").unwrap();
    psql(&url, &format!("drop table predictions_{month}")).unwrap();
    psql(&url, "insert into audit_pending (prediction_id, leaf_hash) select gen_random_uuid(), sha256('a') from generate_series(1, 5)").unwrap();
    let _server = replica(&url).start_ready().await;
    read(&url, 500, 20).await;
    assert_eq!(number(&url, "select n_gone from monitoring_cursor"), 300);
    assert_eq!(number(&url, "select next_leaf from monitoring_cursor"), 500);
    replayed(&url);
    let (worked, output) = monitor(&url, &["status"]);
    assert!(worked && output.contains("leaves read 500, behind 0, rows gone 300"), "{output}");
}
