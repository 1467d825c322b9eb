//! What one client may ask of the service: so many requests in a time (GCRA), and so many images at a time. Counted by the subject of
//! the token, in this process.

use crate::config::limits::LimitsConfig;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often those who have not asked for long are forgotten.
const FORGET_EVERY: Duration = Duration::from_mins(1);

/// The limits of every client.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// Requests: as many at once as the second says, coming back at the rate that the first says.
    pub rate: Option<(NonZeroU32, NonZeroU32)>,
    /// Images at a time.
    pub max_in_flight: usize,
}

impl ClientLimits {
    /// From the configuration; without a limit of its own, a client may have half of the slots.
    pub fn new(config: &LimitsConfig) -> Self {
        let half = config.max_in_flight.get().div_ceil(2);
        Self {
            rate: config.client_requests_per_second.map(|per_second| (per_second, config.client_burst)),
            max_in_flight: config.client_max_in_flight.map_or(half, NonZeroUsize::get),
        }
    }
}

/// Where a client stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests that it may send at once.
    pub burst: u32,
    /// In how much time they all come back.
    pub window: Duration,
    /// Requests that it may still send now.
    pub remaining: u32,
    /// After which time it may send one again; zero unless it was refused.
    pub retry_after: Duration,
}

type Limiter = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// Counts clients.
pub struct Quotas {
    limits: ClientLimits,
    limiter: Option<Limiter>,
    inside: Arc<Mutex<HashMap<String, Inside>>>,
}

/// What one client has here.
#[derive(Debug, Default)]
struct Inside {
    n_images: usize,
    upload_bytes: u64,
}

/// A client's place, until it is dropped.
#[derive(Debug)]
pub struct ClientPlace {
    client: String,
    upload_bytes: u64,
    inside: Arc<Mutex<HashMap<String, Inside>>>,
}

impl Quotas {
    /// With these limits.
    pub fn new(limits: ClientLimits) -> Self {
        let limiter = limits.rate.map(|(per_second, burst)| {
            let quota = Quota::per_second(per_second).allow_burst(burst);
            RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>()
        });
        Self { limits, limiter, inside: Arc::default() }
    }

    /// Counts a request. Where a rate is set: the client's standing, as an error when the request is one too many.
    ///
    /// # Errors
    /// The standing of a client that must wait.
    pub fn request(&self, client: &str) -> Result<Option<Standing>, Standing> {
        let (Some(limiter), Some((per_second, burst))) = (&self.limiter, self.limits.rate) else {
            return Ok(None);
        };
        let window = Duration::from_secs_f64(f64::from(burst.get()) / f64::from(per_second.get()));
        let standing =
            |remaining, retry_after| Standing { burst: burst.get(), window, remaining, retry_after };
        match limiter.check_key(&client.to_owned()) {
            Ok(state) => Ok(Some(standing(state.remaining_burst_capacity(), Duration::ZERO))),
            Err(not_until) => Err(standing(0, not_until.wait_time_from(limiter.clock().now()))),
        }
    }

    /// A place for one image of a client; none when it has all that it may have.
    pub fn place(&self, client: &str) -> Option<ClientPlace> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let n = inside.get(client).map_or(0, |here| here.n_images);
        if n >= self.limits.max_in_flight {
            return None;
        }
        inside.entry(client.to_owned()).or_default().n_images = n + 1;
        Some(ClientPlace { client: client.to_owned(), upload_bytes: 0, inside: Arc::clone(&self.inside) })
    }

    /// Forgets clients whose requests have all come back, for as long as the process lives.
    pub async fn forget(self: Arc<Self>) {
        let Some(limiter) = &self.limiter else { return };
        loop {
            tokio::time::sleep(FORGET_EVERY).await;
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

impl ClientPlace {
    /// Counts the bytes of the upload that belongs to this place. Whether the client's uploads together have no more than `most`; one
    /// upload may have more.
    pub fn upload(&mut self, bytes: u64, most: u64) -> bool {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(here) = inside.get_mut(&self.client) else { return false };
        let all = here.upload_bytes.saturating_add(bytes);
        if here.upload_bytes > 0 && all > most {
            return false;
        }
        (here.upload_bytes, self.upload_bytes) = (all, bytes);
        true
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        match inside.get_mut(&self.client) {
            Some(here) if here.n_images > 1 => {
                here.n_images -= 1;
                here.upload_bytes = here.upload_bytes.saturating_sub(self.upload_bytes);
            }
            _ => drop(inside.remove(&self.client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn number(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).unwrap()
    }

    #[test]
    fn each_client_has_its_own_burst_and_waits_for_it() {
        let quotas = Quotas::new(ClientLimits { rate: Some((number(2), number(4))), max_in_flight: 1 });
        for remaining in (0..4).rev() {
            let standing = quotas.request("a").unwrap().unwrap();
            assert_eq!((standing.remaining, standing.burst), (remaining, 4));
            assert_eq!(standing.window, Duration::from_secs(2));
        }
        let refused = quotas.request("a").unwrap_err();
        assert!(refused.retry_after > Duration::ZERO && refused.retry_after <= Duration::from_millis(500));
        assert!(quotas.request("b").is_ok());
        let unlimited = ClientLimits { rate: None, max_in_flight: 1 };
        assert_eq!(Quotas::new(unlimited).request("a"), Ok(None));
    }

    #[test]
    fn places_are_counted_by_client_and_come_back() {
        let quotas = Quotas::new(ClientLimits { rate: None, max_in_flight: 2 });
        let (one, two) = (quotas.place("a").unwrap(), quotas.place("a").unwrap());
        assert!(quotas.place("a").is_none() && quotas.place("b").is_some());
        drop(one);
        let three = quotas.place("a").unwrap();
        assert!(quotas.place("a").is_none());
        drop((two, three));
        assert!(quotas.inside.lock().unwrap().is_empty());
    }

    #[test]
    fn a_client_may_promise_a_share_of_the_memory_for_uploads() {
        let quotas = Quotas::new(ClientLimits { rate: None, max_in_flight: 3 });
        let (mut one, mut two) = (quotas.place("a").unwrap(), quotas.place("a").unwrap());
        assert!(one.upload(150, 100), "one may be larger");
        assert!(!two.upload(1, 100) && quotas.place("b").unwrap().upload(100, 100));
        drop(one);
        assert!(two.upload(60, 100));
        assert!(!quotas.place("a").unwrap().upload(60, 100));
    }
}
