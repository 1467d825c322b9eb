//! Rows that share a transaction: fewer commits than rows, every answer has its row, and a row that fails
//! does not fail others.

use crate::load::Load;
use std::time::Duration;
use system_tests::log::number;
use system_tests::server::{Options, problem};
use system_tests::{images, postgres};

const CLIENTS: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_concurrent_images_share_commits_and_a_single_row_does_not_wait() {
    let _host = crate::HOST.read().await;
    let url = postgres::shared().database();
    let server = Options::on(&url).set("audit.commit.max_delay_ms", &50).start_ready().await;
    let images: Vec<Vec<u8>> = (0..4).map(|seed| images::jpeg(seed, seed % 2 == 0)).collect();
    for image in &images {
        assert_eq!(server.post("", image.clone()).await.status(), 200);
    }
    assert_eq!(number(&url, "select count(distinct xmin::text) from predictions"), images.len() as u64);
    let load = Load::start(&server, CLIENTS, &images);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let outcomes = load.stop().await;
    assert!(outcomes.iter().all(|outcome| outcome.status == Some(200)));
    let rows = number(&url, "select count(*) from predictions");
    assert_eq!(rows as usize, outcomes.len() + images.len());
    let commits = number(&url, "select count(distinct xmin::text) from predictions");
    assert!(commits * 3 < rows * 2, "{rows} rows in {commits} commits");
    assert_eq!(server.metric("cxr_audit_commit_rows_sum").await, Some(rows as f64));
    assert_eq!(server.metric("cxr_audit_commit_rows_count").await, Some(commits as f64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_does_not_fail_others() {
    let _host = crate::HOST.read().await;
    let url = postgres::shared().database();
    let options = Options::on(&url).set("audit.commit.max_delay_ms", &200);
    let server = options.set("audit.commit.from_in_flight", &2).start_ready().await;
    let (good, bad) = (images::jpeg(1, false), images::jpeg(2, true));
    assert_ne!(good.len(), bad.len());
    let refuse = format!(
        "alter table predictions add constraint none_of_this_size check (input_bytes <> {})",
        bad.len()
    );
    postgres::psql(&url, &refuse).expect("a constraint");
    let posts = (0..16).map(|n| server.post("", if n % 8 == 3 { bad.clone() } else { good.clone() }));
    for (n, answer) in futures_util::future::join_all(posts).await.into_iter().enumerate() {
        if n % 8 == 3 {
            problem(answer, 503, "audit_unavailable").await;
        } else {
            assert_eq!(answer.status(), 200, "image {n}");
        }
    }
    assert_eq!(number(&url, "select count(*) from predictions"), 14);
    assert_eq!(server.metric("cxr_audit_failures_total").await, Some(2.0));
    assert_eq!(
        server.metric("cxr_audit_commit_rows_sum").await,
        Some(14.0),
        "only committed rows are counted"
    );
}
