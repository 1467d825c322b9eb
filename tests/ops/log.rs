//! The log is best-effort: if it cannot be written, the service still answers, counts the lost lines, and
//! stops on SIGTERM.

use std::fs::File;
use std::io::{Read, pipe};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use system_tests::server::{Options, Server, binary};
use system_tests::{images, log, postgres, root, tokens};

const DROPPED: &str = "cxr_log_lines_dropped_total";

/// The service must never wait for its log.
const SOON: Duration = Duration::from_secs(5);

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.unwrap_or_else(|_| panic!("{what} waits for the log"))
}

/// Asserts that it answers and stops on SIGTERM.
async fn works_and_ends(mut server: Server) {
    let live = format!("{}/livez", server.base);
    for seed in 0..3 {
        let answer = in_time("a prediction", server.post("", images::jpeg(seed, true))).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(in_time("/livez", server.client.get(&live).send()).await.unwrap().status(), 200);
    }
    let dropped = server.metric(DROPPED).await.unwrap();
    assert!(dropped > 0.0, "{dropped} lines lost");
    server.signal("TERM");
    let status = tokio::time::timeout(Duration::from_secs(10), server.wait()).await.expect("it ends in time");
    assert!(status.success(), "{status:?}");
}

fn options() -> Options {
    Options::on(&postgres::shared().database())
}

#[tokio::test]
async fn lines_without_a_reader_are_counted_and_the_service_goes_on() {
    let (reader, writer) = pipe().unwrap();
    let server = options().start_writing_to(writer.try_clone().unwrap(), writer).await;
    drop(reader);
    works_and_ends(server).await;
}

#[tokio::test]
async fn lines_on_a_full_disk_are_counted_and_the_service_goes_on() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let server = options().start_writing_to(full(), full()).await;
    works_and_ends(server).await;
}

/// Fills the pipe, which holds 64 KiB, and the queue of lines.
async fn fill(server: &Server) {
    let begun = Instant::now();
    let (model, token) = (format!("{}/v1/model", server.base), tokens::token(""));
    while server.metric(DROPPED).await.unwrap() == 0.0 {
        assert!(begun.elapsed() < Duration::from_mins(2), "the queue is never full");
        // Each request is one line: requests with a token are not throttled.
        let requests = (0..200).map(|_| server.client.get(&model).bearer_auth(&token).send());
        for answer in in_time("a request", futures_util::future::join_all(requests)).await {
            assert_eq!(answer.unwrap().status(), 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_for_a_stalled_reader_are_counted_and_delay_nothing() {
    let (reader, writer) = pipe().unwrap();
    let options = options().set("telemetry.log_filter", &"trace");
    let server = options.start_writing_to(writer.try_clone().unwrap(), writer).await;
    fill(&server).await;
    works_and_ends(server).await;
    drop(reader);
}

#[tokio::test]
async fn the_last_lines_before_the_end_are_written_in_order() {
    let (mut reader, writer) = pipe().unwrap();
    let mut server = options().start_writing_to(Stdio::null(), writer).await;
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    let mut ids = Vec::new();
    for seed in 0..20 {
        let answer = server.post("", images::small(seed)).await;
        ids.push(answer.headers()["x-request-id"].to_str().unwrap().to_owned());
    }
    assert_eq!(server.metric(DROPPED).await, Some(0.0));
    server.signal("TERM");
    assert!(server.wait().await.success());
    let text = read.join().unwrap().unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["message"], "stopped");
    let logged: Vec<&str> = lines.iter().filter_map(|line| line["request_id"].as_str()).collect();
    let places: Vec<_> = ids.iter().map(|id| logged.iter().position(|other| other == id)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
}

#[tokio::test]
async fn a_command_whose_reader_closes_ends_quietly() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    for seed in 0..40 {
        server.post("", images::small(seed)).await;
    }
    log::sequenced(&url, 40).await;
    for arguments in [&["audit", "export", "--out", "-"][..], &["openapi"], &["check-config"]] {
        let (reader, writer) = pipe().unwrap();
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(root()).stdout(writer).stderr(Stdio::piped());
        command.env("CXR_PROFILE", "development").env("CXR_SERVICE__DATABASE__URL", &url);
        let child = command.spawn().unwrap();
        drop((command, reader));
        let ended = child.wait_with_output().unwrap();
        let output = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code().is_some(), "{arguments:?}: {:?} {output}", ended.status);
        assert!(
            !output.contains("panic") && !output.to_lowercase().contains("broken pipe"),
            "{arguments:?}: {output}"
        );
    }
}
