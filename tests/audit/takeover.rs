//! Leadership: the leader dies, stalls, or finds a database in an older state.

use crate::log::{anchored, export, insert_pending_leaves, number, sequenced, verify};
use std::time::{Duration, Instant};
use system_tests::postgres;
use system_tests::server::{Options, Server};

async fn leads(server: &Server) -> bool {
    server.metric("cxr_audit_sequencing").await == Some(1.0)
}

async fn wait_for_leader<'a>(servers: &[&'a Server]) -> &'a Server {
    let begun = Instant::now();
    loop {
        for server in servers {
            if leads(server).await {
                return server;
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no replica leads");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends a signal to the leader of two replicas: the other one takes over, and the tree verifies.
async fn taken_over(signal: &str) {
    let url = postgres::shared().database();
    let options = Options::on(&url).set("audit.sequence.interval_ms", &50);
    let (one, two) = (options.start_ready().await, options.start_ready().await);
    let leader = wait_for_leader(&[&one, &two]).await;
    let other = if leader.base == one.base { &two } else { &one };
    assert!(!leads(other).await);
    other.post_phantoms(3).await;
    sequenced(&url, 3).await;
    leader.signal(signal);
    other.post_phantoms(4).await;
    sequenced(&url, 7).await;
    assert!(leads(other).await);
    if signal == "STOP" {
        leader.signal("CONT");
        leader.post_phantoms(2).await;
        sequenced(&url, 9).await;
        assert!(leads(other).await && !leads(leader).await);
    }
    assert_eq!(number(&url, "select count(*) from audit_pending"), 0);
    let folder = tempfile::tempdir().unwrap();
    let (status, report) = verify(&export(&url, folder.path()), &[]);
    assert_eq!(status, 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_takes_over_when_the_leader_is_killed() {
    taken_over("KILL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_takes_over_when_the_leader_stalls() {
    taken_over("STOP").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_restored_from_an_older_state_is_not_continued() {
    let cluster = postgres::shared();
    let url = cluster.database();
    let name = postgres::name(&url).to_owned();
    let folder = tempfile::tempdir().unwrap();
    let on = |url: &str| {
        let options = Options::on(url).set("audit.anchor.directory", &folder.path().join("anchor").display());
        options.set("audit.anchor.interval_ms", &1).set("audit.sequence.interval_ms", &50)
    };
    let server = on(&url).start_ready().await;
    server.post_phantoms(3).await;
    anchored(&folder.path().join("anchor"), 3).await;
    drop(server);
    let backup = cluster.url(&cluster.copy(&name));
    let server = on(&url).start_ready().await;
    server.post_phantoms(3).await;
    anchored(&folder.path().join("anchor"), 6).await;
    drop(server);

    let restored = on(&backup).start_ready().await;
    restored.post_phantoms(1).await;
    let broken = async || restored.metric("cxr_audit_tree_broken").await == Some(1.0);
    restored.eventually(20, "the metric does not report the broken tree", broken).await;
    let line = restored.logged("shorter than its anchored checkpoint").await;
    assert!(line.is_some(), "{}", restored.log());
    assert_eq!(number(&backup, "select count(*) from audit_leaves"), 3);
    assert_eq!(number(&backup, "select count(*) from audit_pending"), 1);
}

/// Leaves are inserted at 500 per second; how long they stay pending is read from the table.
#[tokio::test(flavor = "multi_thread")]
async fn at_500_rows_per_second_leaves_are_sequenced_within_a_second() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    wait_for_leader(&[&server]).await;
    let seconds = if std::env::var_os("CXR_LONG_TESTS").is_some() { 60 } else { 5 };
    let ids = "select ((lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') \
        || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15)))::uuid \
        from generate_series(1, 12)";
    let leaves = format!(
        "{}; commit; perform pg_sleep(greatest(0, extract(epoch from begun + n * interval '20 ms' - clock_timestamp())))",
        insert_pending_leaves(ids)
    );
    let filled = format!(
        "do $$ declare begun timestamptz := clock_timestamp(); begin for n in 1 .. {} loop {leaves}; end loop; end $$",
        seconds * 50
    );
    let begun = Instant::now();
    let filler = tokio::task::spawn_blocking({
        let url = url.clone();
        move || postgres::psql(&url, &filled).unwrap()
    });
    let waited = "select coalesce(extract(epoch from clock_timestamp()) * 1000 \
        - ('x' || left(replace(min(prediction_id::text), '-', ''), 12))::bit(48)::bigint, 0)::bigint from audit_pending";
    let mut longest = 0;
    while !filler.is_finished() {
        longest = longest.max(number(&url, waited));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let rate = (seconds * 600) as f64 / begun.elapsed().as_secs_f64();
    sequenced(&url, seconds * 600).await;
    println!("{rate:.0} rows a second for {seconds} s: no leaf waited longer than {longest} ms");
    assert!(rate >= 500.0, "only {rate:.0} rows a second were written");
    assert!(longest < 1000, "{longest} ms at {rate:.0} rows a second");
}
