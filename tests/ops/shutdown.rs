//! SIGTERM: admitted requests are answered, then the process ends.

use std::time::{Duration, Instant};
use system_tests::server::Options;
use system_tests::{images, postgres};

#[tokio::test]
async fn admitted_requests_are_answered_before_the_process_ends() {
    let url = postgres::shared().database();
    let mut server = Options::on(&url).start_ready().await;
    let post = |seed: u64| {
        let request = server.prediction("");
        let request =
            request.bearer_auth(system_tests::tokens::token("predict")).body(images::png(seed, true));
        tokio::spawn(async move { request.send().await })
    };
    let running: Vec<_> = (0..8).map(post).collect();
    let start = Instant::now();
    while server.metric("cxr_in_flight").await.unwrap_or(0.0) < 1.0
        && start.elapsed() < Duration::from_secs(5)
    {}
    server.signal("TERM");
    let status = server.wait().await;
    assert!(status.success(), "{status:?}\n{}", server.log());
    let mut answered = 0;
    for task in running {
        // A request that was still connecting may be refused; an answer is always complete.
        if let Ok(response) = task.await.unwrap() {
            assert!(response.status().is_success(), "{response:?}");
            answered += 1;
        }
    }
    assert!(answered > 0);
    let rows: u32 = postgres::psql(&url, "select count(*) from predictions").unwrap().parse().unwrap();
    assert!(rows >= answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_images_do_not_delay_the_shutdown() {
    let url = postgres::shared().database();
    let options = Options::on(&url).set("limits.decode_threads", &1).set("http.shutdown_grace_ms", &4000);
    let mut server = options.start_ready().await;
    let slow = tokio::task::spawn_blocking(images::slow).await.unwrap();
    // Together they take longer than the grace period, and each deadline is longer still.
    let running: Vec<_> = (0..6)
        .map(|_| {
            let request = server.prediction("");
            let request = request.bearer_auth(system_tests::tokens::token("predict"));
            let request = request.header("x-request-timeout-ms", "60000").body(slow.clone());
            tokio::spawn(async move { request.send().await })
        })
        .collect();
    let start = Instant::now();
    while server.metric("cxr_in_flight").await.unwrap_or(0.0) < 6.0 {
        assert!(start.elapsed() < Duration::from_secs(20), "the images are not admitted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // All bodies have arrived before SIGTERM.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let signalled = Instant::now();
    server.signal("TERM");
    let status = server.wait().await;
    assert!(status.success(), "{status:?}\n{}", server.log());
    assert!(signalled.elapsed() < Duration::from_secs(5), "{:?}", signalled.elapsed());
    let mut late = 0;
    for task in running {
        let status = task.await.unwrap().expect("an answer before the end").status().as_u16();
        // The images are noise: those decoded in time may be answered or rejected.
        assert!(matches!(status, 200 | 422 | 504), "{status}");
        late += u32::from(status == 504);
    }
    assert!(late > 0, "all images were decoded within the grace period, so this tests nothing");
    let rows = "select count(*), count(*) filter (where outcome = 'expired' and reason = 'deadline_exceeded') from predictions";
    assert_eq!(postgres::psql(&url, rows).unwrap(), format!("6|{late}"));
}
