//! Delays answers: refusals of one sender in a row, each longer than the one before, and public answers that
//! one address fetches in a loop. Answers to admitted requests are never delayed.

mod pacer;

use crate::config::http::HttpConfig;
use crate::net::{AddressBlock, Connection, ListenerRole};
use crate::telemetry::metrics::ConnectionEnd;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use pacer::Pacer;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Public answers per second and address without delay: a browser, probes and Prometheus need a few.
const PUBLIC_PER_SECOND: NonZeroU32 = NonZeroU32::new(200).expect("not 0");
/// Longest delay of a public answer: a probe during a flood must still be in time.
const MAX_PUBLIC_DELAY: Duration = Duration::from_millis(250);
/// Answers delayed at a time; a connection that causes one more is closed.
const MAX_DELAYED: usize = 1024;

#[derive(Debug)]
pub struct ResponseDelays {
    refusals: Pacer<Sender>,
    public: Pacer<AddressBlock>,
    delayed: Semaphore,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Sender {
    /// The subject of an accepted token.
    Client(String),
    /// Without a valid token, the address.
    Address(AddressBlock),
}

impl ResponseDelays {
    pub fn new(config: &HttpConfig) -> Self {
        Self {
            refusals: Pacer::new(config.refusals_per_second, config.refusal_delay_ms.duration()),
            public: Pacer::new(PUBLIC_PER_SECOND, MAX_PUBLIC_DELAY.min(config.refusal_delay_ms.duration())),
            delayed: Semaphore::new(MAX_DELAYED),
        }
    }

    /// The delay of an answer; none on the listener for operators.
    pub(crate) fn delay(
        &self,
        connection: &Connection,
        role: ListenerRole,
        actor: Option<&str>,
        refused: bool,
    ) -> Duration {
        match (role, actor, refused) {
            (ListenerRole::Operators, ..) | (_, Some(_), false) => Duration::ZERO,
            (_, Some(actor), true) => self.refusals.delay(Sender::Client(actor.to_owned())),
            (_, None, true) => self.refusals.delay(Sender::Address(connection.peer.block())),
            (_, None, false) => self.public.delay(connection.peer.block()),
        }
    }

    /// Delays the answer, or closes the connection if too many are delayed.
    pub(crate) async fn apply(
        &self,
        mut response: Response,
        delay: Duration,
        connection: &Arc<Connection>,
    ) -> Response {
        if delay.is_zero() {
            return response;
        }
        let Ok(_delayed) = self.delayed.try_acquire() else {
            connection.close(ConnectionEnd::Flooding);
            return response;
        };
        let guard = connection.delay_response();
        tokio::time::sleep(delay).await;
        drop(guard);
        if let Some(stated) = response.headers_mut().get_mut(header::RETRY_AFTER) {
            // The delay came from retrying too early, so the client is asked to wait at least as long again.
            let seconds = stated.to_str().ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(1);
            *stated = HeaderValue::from(seconds.max(delay.as_secs_f64().ceil() as u64));
        }
        response
    }
}
