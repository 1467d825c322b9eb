//! Limits per client, by the `sub` of its token and within this process: a request rate (GCRA), images in
//! flight, and upload memory.

use crate::config::limits::LimitsConfig;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often clients that are back at their full burst are removed.
const REMOVE_INTERVAL: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// Requests per second, and the burst.
    pub rate: Option<(NonZeroU32, NonZeroU32)>,
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

/// The rate limit of a client after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests that it may send at once after a pause.
    pub burst: u32,
    /// Time in which the whole burst is restored.
    pub window: Duration,
    /// Requests that it may send now.
    pub remaining: u32,
    /// Time until the next request is allowed; zero unless this one was refused.
    pub retry_after: Duration,
}

type Limiter = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

pub struct Quotas {
    limits: ClientLimits,
    limiter: Option<Limiter>,
    usage: Arc<Mutex<HashMap<String, Usage>>>,
}

#[derive(Debug, Default)]
struct Usage {
    n_images: usize,
    upload_bytes: u64,
}

/// One of a client's slots; dropping it frees it.
#[derive(Debug)]
pub struct ClientSlot {
    client: String,
    upload_bytes: u64,
    usage: Arc<Mutex<HashMap<String, Usage>>>,
}

impl Quotas {
    pub fn new(limits: ClientLimits) -> Self {
        let limiter = limits.rate.map(|(per_second, burst)| {
            let quota = Quota::per_second(per_second).allow_burst(burst);
            RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>()
        });
        Self { limits, limiter, usage: Arc::default() }
    }

    /// Counts a request and returns the standing, as an error if the client exceeded its rate; `None` without
    /// a configured rate.
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

    /// A slot for one image; `None` if the client has `max_in_flight`.
    pub fn slot(&self, client: &str) -> Option<ClientSlot> {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let n = usage.get(client).map_or(0, |usage| usage.n_images);
        if n >= self.limits.max_in_flight {
            return None;
        }
        usage.entry(client.to_owned()).or_default().n_images = n + 1;
        Some(ClientSlot { client: client.to_owned(), upload_bytes: 0, usage: Arc::clone(&self.usage) })
    }

    /// Removes idle clients for as long as the process lives.
    pub async fn remove_idle(self: Arc<Self>) {
        let Some(limiter) = &self.limiter else { return };
        loop {
            tokio::time::sleep(REMOVE_INTERVAL).await;
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

impl ClientSlot {
    /// Counts the bytes of the upload in this slot. False if the client's uploads together would exceed
    /// `max`, unless it is its only one.
    pub fn upload(&mut self, bytes: u64, max: u64) -> bool {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = usage.get_mut(&self.client) else { return false };
        let total = own.upload_bytes.saturating_add(bytes);
        if own.upload_bytes > 0 && total > max {
            return false;
        }
        (own.upload_bytes, self.upload_bytes) = (total, bytes);
        true
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        match usage.get_mut(&self.client) {
            Some(own) if own.n_images > 1 => {
                own.n_images -= 1;
                own.upload_bytes = own.upload_bytes.saturating_sub(self.upload_bytes);
            }
            _ => drop(usage.remove(&self.client)),
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
    fn slots_are_counted_by_client_and_come_back() {
        let quotas = Quotas::new(ClientLimits { rate: None, max_in_flight: 2 });
        let (one, two) = (quotas.slot("a").unwrap(), quotas.slot("a").unwrap());
        assert!(quotas.slot("a").is_none() && quotas.slot("b").is_some());
        drop(one);
        let three = quotas.slot("a").unwrap();
        assert!(quotas.slot("a").is_none());
        drop((two, three));
        assert!(quotas.usage.lock().unwrap().is_empty());
    }

    #[test]
    fn a_client_may_announce_a_share_of_the_upload_memory() {
        let quotas = Quotas::new(ClientLimits { rate: None, max_in_flight: 3 });
        let (mut one, mut two) = (quotas.slot("a").unwrap(), quotas.slot("a").unwrap());
        assert!(one.upload(150, 100), "one may be larger");
        assert!(!two.upload(1, 100) && quotas.slot("b").unwrap().upload(100, 100));
        drop(one);
        assert!(two.upload(60, 100));
        assert!(!quotas.slot("a").unwrap().upload(60, 100));
    }
}
