//! Sends images at a fixed rate, to the replicas in turn.

use super::page::State;
use super::replica::Replica;
use super::shift::Corpus;
use anyhow::Result;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

pub(super) async fn send(replicas: &[Replica], corpus: &Corpus, state: &State, rate: f64) -> Result<()> {
    let client = reqwest::Client::new();
    let mut due = tokio::time::interval(Duration::from_secs_f64(1.0 / rate.max(0.1)));
    due.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut n = 0;
    loop {
        due.tick().await;
        let replica = &replicas[n % replicas.len()];
        let request = client
            .post(format!("{}/v1/predictions", replica.url()))
            .bearer_auth(&replica.token)
            .header("Content-Type", "image/jpeg")
            .body(corpus.file(n, state.shift())?);
        n += 1;
        let counted = state.count();
        tokio::spawn(async move {
            if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
                counted.answered();
            }
        });
    }
}

/// Asks each replica whether it is ready, as a load balancer does.
pub(super) async fn probe(replicas: &[Replica]) -> Result<()> {
    let client = reqwest::Client::new();
    loop {
        for replica in replicas {
            // The service counts the answer; a failure shows in its metrics.
            drop(client.get(format!("{}/readyz", replica.url())).send().await);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}
