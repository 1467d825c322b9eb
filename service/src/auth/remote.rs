//! A key set that an identity provider publishes: fetched ahead, again when a token names a key that is not in it, and kept while
//! the provider is away.

use super::keys::{self, KeyError, SetError, VerificationKey};
use crate::config::auth::JwksConfig;
use crate::telemetry::logs::chain;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Mutex;

/// A key set has a few kilobytes.
const MAX_SET_BYTES: usize = 256 << 10;

/// A provider that is away is asked again this often, without a token that wants it.
const RETRY: Duration = Duration::from_secs(10);

/// Why a set was not fetched.
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

/// The set as it was last fetched.
#[derive(Clone)]
struct Fetched {
    keys: Arc<[VerificationKey]>,
    at: Instant,
    moment: SystemTime,
}

/// How fetching a published set goes, for whoever watches the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedSet {
    /// Its place in `auth.keys`.
    pub position: usize,
    /// When it was last fetched; none before the first time.
    pub fetched_at: Option<SystemTime>,
    /// How often it was asked for in vain.
    pub n_failures: u64,
}

/// One published set.
pub(super) struct RemoteKeys {
    position: usize,
    url: String,
    client: reqwest::Client,
    config: JwksConfig,
    fetched: RwLock<Option<Fetched>>,
    n_failures: AtomicU64,
    /// When it was last asked for; held while it is asked for, so that everybody waits for one answer.
    asked: Mutex<Option<Instant>>,
}

impl RemoteKeys {
    /// At this URL, which `auth.keys` has at this position; nothing is fetched yet.
    pub(super) fn new(position: usize, url: &str, config: &JwksConfig) -> Result<Self, KeyError> {
        let failed = |what: String| KeyError::Client { what };
        let mut client = reqwest::Client::builder()
            .timeout(config.timeout_ms.duration())
            // Whoever can redirect could bring other keys.
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
            asked: Mutex::default(),
        })
    }

    /// The keys that count now: none before the first answer, and none once the provider has been away for too long.
    pub(super) fn keys(&self) -> Option<Arc<[VerificationKey]>> {
        let fetched = self.fetched.read().unwrap_or_else(PoisonError::into_inner);
        fetched
            .as_ref()
            .filter(|set| set.at.elapsed() < self.config.keep_ms.duration())
            .map(|set| Arc::clone(&set.keys))
    }

    /// Fetches the set, and forgets it.
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

    /// Where the configuration has it, in words that may be said to anybody.
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// Fetches the set again and again, for as long as the process lives.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        let refresh = self.config.refresh_ms.duration();
        loop {
            let known = self.fetched_at().is_some_and(|at| at.elapsed() < refresh);
            if !known {
                self.ask(Instant::now()).await;
            }
            // A provider that does not answer is asked soon again, one that does when its answer has aged.
            let fresh = self.fetched_at().is_some_and(|at| at.elapsed() < refresh);
            let pause = if fresh { refresh } else { RETRY.min(refresh) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Fetches the set because of a token that names an unknown key. Many at a time share one answer, and the provider is asked at most
    /// once in `min_interval`: who comes earlier waits for that moment, so that no token of a new key is refused.
    pub(super) async fn look_again(&self) {
        self.ask(Instant::now()).await;
    }

    /// Asks the provider, unless somebody has since `since`.
    async fn ask(&self, since: Instant) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|at| at >= since) {
            return;
        }
        if let Some(at) = *asked {
            tokio::time::sleep(self.config.min_interval_ms.duration().saturating_sub(at.elapsed())).await;
        }
        *asked = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                let fetched = Fetched { keys: keys.into(), at: Instant::now(), moment: SystemTime::now() };
                *self.fetched.write().unwrap_or_else(PoisonError::into_inner) = Some(fetched);
            }
            Err(error) => {
                self.n_failures.fetch_add(1, Ordering::Relaxed);
                let kept_for = self.fetched_at().map_or(Duration::ZERO, |at| at.elapsed());
                tracing::warn!(
                    url = self.url,
                    cause = chain(&error),
                    ?kept_for,
                    "fetching the key set failed"
                );
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
