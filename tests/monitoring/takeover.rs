//! Two replicas: one leads, and the other goes on where a killed one stopped, to the same bits.

use crate::bulk::{Bulk, insert, read, replayed, replica};
use std::time::Instant;
use system_tests::eventually;
use system_tests::postgres::shared;

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_goes_on_within_ten_seconds_to_the_same_bits() {
    let url = shared().database();
    insert(&url, &Bulk { n: 2500, from: "now() - interval '3 days'", every_s: 60, shift: 0.0 });
    let (a, b) = (replica(&url).start_ready().await, replica(&url).start_ready().await);
    read(&url, 2500, 20).await;
    let leads = async |server: &system_tests::server::Server| {
        server.metric("cxr_monitoring_leader ").await == Some(1.0)
    };
    let one_leads = async || leads(&a).await != leads(&b).await;
    eventually(5, "there is not one leader", one_leads).await;
    let (leader, other) = if leads(&a).await { (a, b) } else { (b, a) };
    // Killed within a step or between two.
    insert(&url, &Bulk { n: 6000, from: "now() - interval '1 day'", every_s: 10, shift: 0.0 });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    leader.signal("KILL");
    let begun = Instant::now();
    insert(&url, &Bulk { n: 100, from: "now() - interval '1 hour'", every_s: 10, shift: 0.0 });
    read(&url, 8600, 10).await;
    println!("another replica read the log {} ms after the kill", begun.elapsed().as_millis());
    eventually(5, "the other replica does not lead", async || leads(&other).await).await;
    replayed(&url);
}
