//! A closed loop of clients on one server, and all the answers that they got.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use system_tests::server::Server;
use system_tests::tokens;
use tokio::task::JoinHandle;

/// One answer; no status if there was none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: Option<u16>,
    pub(crate) digest: String,
    pub(crate) took: Duration,
    pub(crate) at: Instant,
}

/// Clients that post until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Outcome>>>,
}

impl Load {
    /// Starts `n` clients; each sends one of the images again and again.
    pub(crate) fn start(server: &Server, n: usize, images: &[Vec<u8>]) -> Self {
        Self::paced(server, n, images, Duration::ZERO)
    }

    /// Clients that pause after a refusal.
    pub(crate) fn paced(server: &Server, n: usize, images: &[Vec<u8>], pause: Duration) -> Self {
        Self::of("tester", server, n, images, pause)
    }

    /// Clients with the token of another actor.
    pub(crate) fn of(actor: &str, server: &Server, n: usize, images: &[Vec<u8>], pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let token = tokens::sign_development(&tokens::claims(actor, "predict"));
        let clients = (0..n).map(|index| {
            let (stop, client, token) = (Arc::clone(&stop), server.client.clone(), token.clone());
            let (url, image) =
                (format!("{}/v1/predictions", server.base), images[index % images.len()].clone());
            tokio::spawn(async move {
                let mut outcomes = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    let sent = client.post(&url).bearer_auth(&token).body(image.clone()).send().await;
                    let outcome = match sent {
                        Ok(response) => {
                            let status = response.status().as_u16();
                            let answer: serde_json::Value = response.json().await.unwrap_or_default();
                            let digest = answer["model"]["digest"].as_str().unwrap_or_default().to_owned();
                            Outcome { status: Some(status), digest, took: started.elapsed(), at: started }
                        }
                        Err(_) => Outcome {
                            status: None,
                            digest: String::new(),
                            took: started.elapsed(),
                            at: started,
                        },
                    };
                    let refused = outcome.status == Some(429);
                    outcomes.push(outcome);
                    if refused && !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                }
                outcomes
            })
        });
        let clients = clients.collect();
        Self { stop, clients }
    }

    /// Stops the clients and returns their answers.
    pub(crate) async fn stop(self) -> Vec<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        let mut outcomes = Vec::new();
        for client in self.clients {
            outcomes.extend(client.await.expect("a client does not panic"));
        }
        outcomes
    }
}

/// The 99th percentile.
pub(crate) fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[(times.len() * 99 / 100).min(times.len() - 1)]
}
