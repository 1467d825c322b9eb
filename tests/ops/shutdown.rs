//! SIGTERM: what was admitted is answered, and the process ends by itself.

use std::time::{Duration, Instant};
use system_tests::server::Options;
use system_tests::{images, postgres};

#[tokio::test]
async fn admitted_requests_are_answered_before_the_process_ends() {
    let url = postgres::shared().database();
    let mut server = Options::on(&url).start_ready().await;
    let post = |seed: u64| {
        let request = server.client.post(format!("{}/v1/predictions", server.base));
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
        // One that was still connecting may have been turned away; one that was answered was answered whole.
        if let Ok(response) = task.await.unwrap() {
            assert!(response.status().is_success(), "{response:?}");
            answered += 1;
        }
    }
    assert!(answered > 0);
    let rows: u32 = postgres::psql(&url, "select count(*) from predictions").unwrap().parse().unwrap();
    assert!(rows >= answered);
}
