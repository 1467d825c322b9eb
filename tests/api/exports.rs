//! Streaming the whole log: memory stays bounded even for a slow reader, and predictions are answered
//! meanwhile.

use flate2::read::GzDecoder;
use std::io::Read;
use std::time::{Duration, Instant};
use system_tests::server::{Options, Server};
use system_tests::{images, postgres, tokens};

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
    let notified = until.notified();
    tokio::pin!(notified);
    loop {
        let begun = Instant::now();
        assert_eq!(server.post("", images::jpeg(answered as u64, false)).await.status(), 200);
        slowest = slowest.max(begun.elapsed());
        answered += 1;
        if tokio::time::timeout(Duration::from_millis(50), &mut notified).await.is_ok() {
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
        assert!(slow.chunk().await.unwrap().is_some(), "the download ended early");
        most = most.max(server.memory_bytes());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.post("", images::jpeg(1, false)).await.status(), 200);
    let grown = most.saturating_sub(before);
    println!("a slow reader: {} kB more resident at most", grown >> 10);
    assert!(grown < MOST, "{grown} bytes more for a slow reader");
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_rows_are_compressed_for_clients_that_ask_and_nothing_else_is() {
    let server = Options::on(&postgres::shared().database()).start_ready().await;
    let asking = |request: reqwest::RequestBuilder| request.header("accept-encoding", "gzip").send();
    let predict = server.client.post(format!("{}/v1/predictions", server.base));
    let predict = predict.bearer_auth(tokens::token("predict")).body(images::jpeg(1, false));
    let prediction = asking(predict).await.unwrap();
    assert_eq!((prediction.status().as_u16(), prediction.headers().get("content-encoding")), (200, None));
    for format in ["json", "ndjson", "csv", "fhir"] {
        let path = format!("/v1/predictions?format={format}");
        let plain = server.get(&path, "audit:read").await;
        assert_eq!(plain.headers().get("content-encoding"), None);
        let plain = plain.bytes().await.unwrap();
        let get = server.client.get(format!("{}{path}", server.base));
        let packed = asking(get.bearer_auth(tokens::token("audit:read"))).await.unwrap();
        assert_eq!(packed.headers()["content-encoding"], "gzip", "{format}");
        assert_eq!(packed.headers()["vary"], "accept-encoding", "{format}");
        let packed = packed.bytes().await.unwrap();
        let mut unpacked = Vec::new();
        GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == plain && packed.len() < plain.len(), "{format}");
    }
    for public in ["/metrics", "/openapi.json", "/docs/"] {
        let answer = asking(server.client.get(format!("{}{public}", server.base))).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers().get("content-encoding")),
            (200, None),
            "{public}"
        );
    }
}
