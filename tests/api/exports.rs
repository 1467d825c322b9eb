//! Streaming the whole log: memory stays bounded even for a slow reader, and predictions are answered
//! meanwhile.

use std::time::{Duration, Instant};
use system_tests::server::{Options, Server};
use system_tests::{images, postgres};

const ROWS: usize = 100_000;
/// Memory that a download of any length may take: some chunks of rows, and what the allocator keeps of them.
const MOST: u64 = 64 << 20;

/// Inserts copies of a real row under other ids into the database.
fn fill(url: &str) {
    let columns = "select string_agg(quote_ident(attname), ', ') from pg_attribute where attrelid = 'predictions'::regclass \
        and attnum > 0 and not attisdropped and attname <> 'id'";
    let columns = postgres::psql(url, columns).unwrap();
    let copies = format!(
        "insert into predictions (id, {columns}) select overlay(id::text placing lpad(to_hex(n), 12, '0') from 25)::uuid, {columns} \
         from (select * from predictions limit 1) row, generate_series(1, {}) n",
        ROWS - 1
    );
    postgres::psql(url, &copies).unwrap();
}

/// Downloads everything. Returns lines, bytes, and the peak resident memory meanwhile.
async fn download(server: &Server, format: &str) -> (usize, u64, u64) {
    let mut answer = server.get(&format!("/v1/predictions?format={format}"), "audit:read").await;
    assert_eq!(answer.status(), 200);
    let (mut lines, mut bytes, mut most) = (0, 0, 0);
    while let Some(chunk) = answer.chunk().await.unwrap() {
        lines += chunk.split(|byte| *byte == b'\n').count() - 1;
        bytes += chunk.len() as u64;
        most = most.max(server.memory_bytes());
    }
    (lines, bytes, most)
}

/// Sends predictions one after the other until notified. Returns their number and the slowest time.
async fn predict(server: &Server, until: &tokio::sync::Notify) -> (usize, Duration) {
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    let told = until.notified();
    tokio::pin!(told);
    loop {
        let begun = Instant::now();
        assert_eq!(server.post("", images::jpeg(answered as u64, false)).await.status(), 200);
        slowest = slowest.max(begun.elapsed());
        answered += 1;
        if tokio::time::timeout(Duration::from_millis(50), &mut told).await.is_ok() {
            return (answered, slowest);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_downloaded_in_constant_memory_while_predictions_are_answered() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    assert_eq!(server.post("", images::jpeg(1, false)).await.status(), 200);
    fill(&url);
    for format in ["ndjson", "csv"] {
        let before = server.memory_bytes();
        let ended = tokio::sync::Notify::new();
        let begun = Instant::now();
        let downloaded = async {
            let downloaded = download(&server, format).await;
            ended.notify_one();
            downloaded
        };
        let ((lines, bytes, most), (answered, slowest)) = tokio::join!(downloaded, predict(&server, &ended));
        let grown = most.saturating_sub(before);
        println!(
            "{format}: {lines} lines, {} MB in {:.1} s; {} kB more resident at most; {answered} predictions meanwhile, the slowest in {slowest:?}",
            bytes >> 20,
            begun.elapsed().as_secs_f64(),
            grown >> 10
        );
        assert!(lines >= ROWS && bytes > 3 * MOST, "{format}: {lines} lines, {bytes} bytes");
        assert!(grown < MOST, "{format}: {grown} bytes more for {bytes}");
        assert!(answered >= 5 && slowest < Duration::from_secs(3), "{format}: {answered}, {slowest:?}");
    }

    // A slow reader gets everything, with no more memory.
    let before = server.memory_bytes();
    let mut slow = server.get("/v1/predictions?format=ndjson", "audit:read").await;
    let (begun, mut most) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(3) {
        assert!(slow.chunk().await.unwrap().is_some(), "it ended early");
        most = most.max(server.memory_bytes());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.post("", images::jpeg(1, false)).await.status(), 200);
    let grown = most.saturating_sub(before);
    println!("a slow reader: {} kB more resident at most", grown >> 10);
    assert!(grown < MOST, "{grown} bytes more for a slow reader");
}
