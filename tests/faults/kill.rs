//! kill -9 of the service under 200 requests per second, repeatedly; each time it starts again on the same
//! database.

use crate::HOST;
use crate::load::{Exchange, Load};
use crate::reconciliation::{assert_verifies, reconcile, sequenced};
use crate::seconds;
use std::time::Duration;
use system_tests::server::{Options, Server};
use system_tests::{images, postgres};

const PER_SECOND: u32 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn the_service_recovers_from_kill_9_under_200_requests_per_second() {
    let _host = HOST.write().await;
    let url = postgres::shared().database();
    let options = Options::on(&url).set("model.variant", &"int8");
    let mut server = options.start_ready().await;
    // One image in four runs through the model: with more, two cores would answer 429.
    let small = |n: u64| if n.is_multiple_of(4) { images::small(n) } else { images::blank() };
    let load = Load::of(&server, PER_SECOND, (0..32).map(small).collect());
    let mut back = Vec::new();
    let n_kills = seconds(3, 10).as_secs();
    for _ in 0..n_kills {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        server.signal("KILL");
        server.wait().await;
        server = restart(&options, &load, &mut back).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (exchanges, settled) = load.settle().await;
    let sequenced_after = sequenced(&url).await;
    let answered = |e: &&Exchange| matches!(e.status, Some(200 | 422));
    let count = |status| exchanges.iter().filter(|e| e.status == status).count();
    let span = exchanges.iter().map(Exchange::ended).max().unwrap() - exchanges[0].begun;
    println!(
        "kill -9, {n_kills} times at {:.0} requests/s: {} answered ({:.0}/s), {} refused with 429, {} without an answer, {} sent again; 200 again {back:.2?} s after the kill; all in the tree {:.1} s after the end",
        exchanges.len() as f64 / span.as_secs_f64(),
        exchanges.iter().filter(answered).count(),
        exchanges.iter().filter(answered).count() as f64 / span.as_secs_f64(),
        count(Some(429)),
        count(None),
        settled.len(),
        sequenced_after.as_secs_f64(),
    );
    assert!(count(None) > 0, "no request was lost to the kill");
    let unexpected: Vec<_> =
        exchanges.iter().filter(|e| !matches!(e.status, Some(200 | 422 | 429) | None)).take(3).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    drop(server);
    reconcile(&url, &exchanges, &settled);
    let answers: Vec<&Exchange> = exchanges.iter().chain(&settled).filter(answered).collect();
    assert_verifies(&url, &answers);
}

/// Starts the service again, and records the time from the kill to the first answer.
async fn restart(options: &Options, load: &Load, back: &mut Vec<f64>) -> Server {
    let killed = std::time::Instant::now();
    let server = options.start().await;
    load.switch_to(&server);
    loop {
        let answered = load.so_far().into_iter().rev().find(|e| e.status == Some(200) && e.begun > killed);
        if let Some(answered) = answered {
            back.push((answered.ended() - killed).as_secs_f64());
            return server;
        }
        assert!(killed.elapsed() < Duration::from_secs(30), "{}", server.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
