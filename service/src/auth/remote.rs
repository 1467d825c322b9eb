//! A published key set: refreshed regularly and for unknown keys, and kept for a while during outages.

use super::keys::{self, KeyError, SetError, VerificationKey};
use crate::config::auth::JwksConfig;
use crate::telemetry::logs::chain;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Mutex;

/// A key set usually has a few kilobytes.
const MAX_SET_BYTES: usize = 256 << 10;

/// Pause between fetches while the provider is unreachable.
const RETRY: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the identity provider does not respond")]
    Http(#[from] reqwest::Error),
    #[error("the identity provider answered {0}")]
    Status(u16),
    #[error("the answer is larger than {MAX_SET_BYTES} bytes")]
    TooLong,
    #[error("the identity provider's key set is not usable")]
    Set(#[from] SetError),
}

#[derive(Clone)]
struct Fetched {
    keys: Arc<[VerificationKey]>,
    at: Instant,
    moment: SystemTime,
}

/// State of a published set, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedSet {
    /// Its position in `auth.keys`.
    pub position: usize,
    pub fetched_at: Option<SystemTime>,
    pub n_failures: u64,
}

pub(super) struct RemoteKeys {
    position: usize,
    url: String,
    client: reqwest::Client,
    config: JwksConfig,
    fetched: RwLock<Option<Fetched>>,
    n_failures: AtomicU64,
    /// Locked during a fetch, so that all tokens share one.
    last_fetch: Mutex<Option<Instant>>,
}

impl RemoteKeys {
    /// Makes the client for the set at this URL and position in `auth.keys`, and fetches nothing yet.
    pub(super) fn new(position: usize, url: &str, config: &JwksConfig) -> Result<Self, KeyError> {
        let failed = |what: String| KeyError::Client { what };
        let mut client = reqwest::Client::builder()
            .timeout(config.timeout_ms.duration())
            // A redirect could lead to other keys.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &config.authorities_file {
            let pem = std::fs::read(path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
            let authorities = reqwest::Certificate::from_pem_bundle(&pem);
            let authorities = authorities.map_err(|error| failed(format!("{}: {error}", path.display())))?;
            client = client.tls_certs_only(authorities);
        }
        let client = client.build().map_err(|error| failed(chain(&error)))?;
        Ok(Self {
            position,
            url: url.to_owned(),
            client,
            config: config.clone(),
            fetched: RwLock::default(),
            n_failures: AtomicU64::new(0),
            last_fetch: Mutex::default(),
        })
    }

    /// The keys; none before the first fetch, or after failed fetches for `auth.jwks.keep_ms`.
    pub(super) fn keys(&self) -> Option<Arc<[VerificationKey]>> {
        let fetched = self.fetched.read().unwrap_or_else(PoisonError::into_inner);
        let valid = fetched.as_ref().filter(|set| set.at.elapsed() < self.config.keep_ms.duration());
        valid.map(|set| Arc::clone(&set.keys))
    }

    pub(super) async fn try_fetch(&self) -> Result<(), String> {
        self.fetch().await.map(|_| ()).map_err(|error| chain(&error))
    }

    pub(super) fn state(&self) -> PublishedSet {
        let fetched = self.fetched.read().unwrap_or_else(PoisonError::into_inner);
        PublishedSet {
            position: self.position,
            fetched_at: fetched.as_ref().map(|set| set.moment),
            n_failures: self.n_failures.load(Ordering::Relaxed),
        }
    }

    /// Names the set without its URL, which may be confidential.
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// Keeps the set fresh for as long as the process lives.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        let refresh = self.config.refresh_ms.duration();
        let is_fresh = || self.fetched_at().is_some_and(|at| at.elapsed() < refresh);
        loop {
            if !is_fresh() {
                self.refetch().await;
            }
            // Soon after a failure, otherwise when the set has aged.
            tokio::time::sleep(if is_fresh() { refresh } else { RETRY.min(refresh) }).await;
        }
    }

    /// Fetches the set. Concurrent calls share one fetch, and there is at most one per `min_interval_ms`:
    /// earlier calls wait for it, so that no token with a new key is refused.
    pub(super) async fn refetch(&self) {
        let called = Instant::now();
        let mut last = self.last_fetch.lock().await;
        if last.is_some_and(|at| at >= called) {
            return;
        }
        if let Some(at) = *last {
            tokio::time::sleep(self.config.min_interval_ms.duration().saturating_sub(at.elapsed())).await;
        }
        *last = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                let fetched = Fetched { keys: keys.into(), at: Instant::now(), moment: SystemTime::now() };
                *self.fetched.write().unwrap_or_else(PoisonError::into_inner) = Some(fetched);
            }
            Err(error) => {
                self.n_failures.fetch_add(1, Ordering::Relaxed);
                let kept_for = self.fetched_at().map_or(Duration::ZERO, |at| at.elapsed());
                let cause = chain(&error);
                tracing::warn!(url = self.url, cause, ?kept_for, "fetching the key set failed");
            }
        }
    }

    fn fetched_at(&self) -> Option<Instant> {
        self.fetched.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|set| set.at)
    }

    async fn fetch(&self) -> Result<Vec<VerificationKey>, FetchError> {
        let mut answer = self.client.get(&self.url).send().await?;
        if !answer.status().is_success() {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if bytes.len() + chunk.len() > MAX_SET_BYTES {
                return Err(FetchError::TooLong);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(keys::parse_set(&bytes)?)
    }
}
