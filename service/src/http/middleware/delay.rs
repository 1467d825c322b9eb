//! When an answer leaves. Refusals that a sender provokes one after the other are held back, each longer than the one before; so are
//! answers without a token that one site fetches in a loop. What was admitted is never held back.

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

/// Answers without a token that a site gets at once, in a second: a browser, probes and Prometheus need a few.
const VISITS_PER_SECOND: NonZeroU32 = NonZeroU32::new(200).expect("not 0");
/// The most that such an answer waits: a probe among a flood must still be in time.
const LONGEST_VISIT: Duration = Duration::from_millis(250);
/// Answers that are held back at a time; a connection that provokes one more is closed.
const MAX_HELD: usize = 1024;

/// Holds answers back.
#[derive(Debug)]
pub struct ResponseDelays {
    refusals: Pacer<Sender>,
    visits: Pacer<AddressBlock>,
    held: Semaphore,
}

/// Who provoked an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Sender {
    /// The subject of an accepted token.
    Client(String),
    /// Anybody else is known by the address alone.
    AddressBlock(AddressBlock),
}

impl ResponseDelays {
    /// With the limits of the configuration.
    pub fn new(config: &HttpConfig) -> Self {
        Self {
            refusals: Pacer::new(config.refusals_per_second, config.refusal_delay_ms.duration()),
            visits: Pacer::new(VISITS_PER_SECOND, LONGEST_VISIT.min(config.refusal_delay_ms.duration())),
            held: Semaphore::new(MAX_HELD),
        }
    }

    /// How long an answer over a connection is held back; operators' are not.
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
            (_, None, true) => self.refusals.delay(Sender::AddressBlock(connection.peer.block())),
            (_, None, false) => self.visits.delay(connection.peer.block()),
        }
    }

    /// Holds the answer back. Where too many are, the connection is closed in its place.
    pub(crate) async fn hold(
        &self,
        mut response: Response,
        delay: Duration,
        connection: &Arc<Connection>,
    ) -> Response {
        if delay.is_zero() {
            return response;
        }
        let Ok(_held) = self.held.try_acquire() else {
            connection.close(ConnectionEnd::Flooding);
            return response;
        };
        let held = connection.delay_response();
        tokio::time::sleep(delay).await;
        drop(held);
        if let Some(stated) = response.headers_mut().get_mut(header::RETRY_AFTER) {
            // Whoever did not wait is asked to wait as long again.
            let seconds = stated.to_str().ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(1);
            *stated = HeaderValue::from(seconds.max(delay.as_secs_f64().ceil() as u64));
        }
        response
    }
}
