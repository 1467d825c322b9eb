//! Connects to one of several servers, and reads the URL's file again when the password has changed.

use super::session::{Session, Settings};
use crate::config::database::Pooling;
use crate::config::servers::{DatabaseUrl, Servers, Target, UrlError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Shortest time that each of several servers gets to answer.
const MIN_SERVER_TIMEOUT: Duration = Duration::from_millis(300);

/// First and longest pause before a server that could not be reached is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// A failure this recent explains a later attempt that ended without an answer.
const RECENT: Duration = Duration::from_secs(1);

/// Why there is no connection. The text is public, so only the source may name host, user or database.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no server could be reached")]
    Failed(#[from] sqlx::Error),
    #[error(
        "{key}: login refused; check user and password (the URL's file is read again after each refusal)"
    )]
    Login {
        key: &'static str,
        #[source]
        refusal: sqlx::Error,
    },
    #[error("{key}: {n} servers answered, but none is {wanted}")]
    Target { key: &'static str, n: usize, wanted: &'static str },
    #[error(
        "the database session has {name} = {found:?} and needs {expected:?}: a pooler or proxy drops or resets it"
    )]
    Setting { name: &'static str, expected: String, found: String },
    /// Two connections share one session, or one connection uses several.
    #[error(
        "a pooler shares this connection's session with others (PgBouncer: pool_mode = transaction or statement): set \
         service.database.pooling to transaction, or use pool_mode = session"
    )]
    Shared,
    #[error("{key}_file cannot be used")]
    File {
        key: &'static str,
        #[source]
        cause: std::io::Error,
    },
    #[error("{key}: the URL in its file cannot be used")]
    Url {
        key: &'static str,
        #[source]
        cause: UrlError,
    },
    #[error("no server answered in time")]
    Silent,
    #[error("all connections are in use")]
    Exhausted,
}

impl ConnectError {
    /// Whether trying again, or trying another server, may help.
    fn is_transient(&self) -> bool {
        match self {
            Self::Failed(sqlx::Error::Database(error)) => {
                // Classes of SQLSTATE: 57P shutdown, 53 insufficient resources, 08 broken connection.
                let classes = ["57P", "53", "08"];
                error.code().is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
            }
            Self::Failed(sqlx::Error::Io(_)) | Self::Target { .. } | Self::Silent => true,
            _ => false,
        }
    }
}

/// Connects as one user.
pub(super) struct Connector {
    url: Mutex<Arc<Resolved>>,
    pooling: Pooling,
    settings: Settings,
    /// Index of the server that was used last.
    preferred: AtomicUsize,
    /// Whether a second connection was shown to be a second session.
    proven: tokio::sync::Mutex<bool>,
    last_failure: Mutex<Option<(Instant, Arc<ConnectError>)>>,
}

struct Resolved {
    url: DatabaseUrl,
    servers: Servers,
}

impl Resolved {
    fn parse(url: DatabaseUrl) -> Result<Self, ConnectError> {
        let mut servers = url.servers().map_err(|cause| ConnectError::Url { key: url.key, cause })?;
        // Poolers refuse or drop unknown start-up parameters: everything is set after connecting.
        let prepare = |options: &mut sqlx::postgres::PgConnectOptions| {
            *options = options.clone().application_name("cxr-service").extra_float_digits(None);
        };
        servers.hosts.iter_mut().for_each(prepare);
        Ok(Self { url, servers })
    }
}

impl Connector {
    pub(super) fn new(url: &DatabaseUrl, pooling: Pooling, settings: Settings) -> Result<Self, ConnectError> {
        Ok(Self {
            url: Mutex::new(Arc::new(Resolved::parse(url.clone())?)),
            pooling,
            settings,
            preferred: AtomicUsize::default(),
            proven: tokio::sync::Mutex::default(),
            last_failure: Mutex::default(),
        })
    }

    /// Connects before the deadline; `overrides` replace settings of the same name. Servers that cannot be
    /// reached are tried again; while the login is refused, the URL's file is read again.
    pub(super) async fn connect(
        &self,
        overrides: &[(&'static str, String)],
        deadline: Instant,
    ) -> Result<Session, Arc<ConnectError>> {
        let is_kept = |name: &str| overrides.iter().all(|(other, _)| *other != name);
        let kept = self.settings.iter().filter(|(name, _)| is_kept(name));
        let settings: Settings = kept.chain(overrides).cloned().collect();
        let mut pause = FIRST_PAUSE;
        loop {
            let resolved = self.resolved();
            let mut failure = match self.try_servers(&resolved, &settings, deadline).await {
                Ok(session) => return Ok(session),
                Err(error) => self.failed(error).await,
            };
            let login = matches!(*failure, ConnectError::Login { .. });
            if !login && !failure.is_transient() {
                return Err(failure);
            }
            // A refused password is not tried again: servers lock users out.
            loop {
                if deadline.saturating_duration_since(Instant::now()) <= pause {
                    return Err(failure);
                }
                match if login { self.read_again(&resolved).await } else { Ok(false) } {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(error) => failure = Arc::new(error),
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                if !login {
                    break;
                }
            }
        }
    }

    /// Remembers a failure of connecting, or of a connection.
    pub(super) async fn failed(&self, error: ConnectError) -> Arc<ConnectError> {
        if matches!(error, ConnectError::Shared | ConnectError::Setting { .. }) {
            self.require_proof().await;
        }
        let mut last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            // The deadline cut this attempt short: the earlier failure says more.
            Some((at, earlier)) if matches!(error, ConnectError::Silent) && at.elapsed() < RECENT => {
                Arc::clone(earlier)
            }
            _ => {
                let error = Arc::new(error);
                *last = Some((Instant::now(), Arc::clone(&error)));
                error
            }
        }
    }

    /// The last failure, if it happened since then.
    pub(super) fn failure_since(&self, then: Instant) -> Option<Arc<ConnectError>> {
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| *at >= then).map(|(_, failure)| Arc::clone(failure))
    }

    /// Makes the next connection prove that no pooler shares its session.
    pub(super) async fn require_proof(&self) {
        *self.proven.lock().await = false;
    }

    fn resolved(&self) -> Arc<Resolved> {
        Arc::clone(&self.url.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the URL's file; returns whether its URL is a new one.
    async fn read_again(&self, tried: &Arc<Resolved>) -> Result<bool, ConnectError> {
        let resolved = self.resolved();
        if !Arc::ptr_eq(&resolved, tried) {
            return Ok(true);
        }
        let (url, key) = (resolved.url.clone(), resolved.url.key);
        let read = tokio::task::spawn_blocking(move || url.read_again()).await;
        let read = read.map_err(|error| std::io::Error::other(error.to_string())).flatten();
        let Some(newer) = read.map_err(|cause| ConnectError::File { key, cause })? else { return Ok(false) };
        // A file that is rewritten in place may be read half-written.
        let Ok(newer) = Resolved::parse(newer) else { return Ok(false) };
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(newer);
        tracing::info!(key, "database login refused; using the new URL from the file");
        Ok(true)
    }

    /// Connects to the first server of the wanted kind, beginning with the one used last.
    async fn try_servers(
        &self,
        resolved: &Resolved,
        settings: &Settings,
        deadline: Instant,
    ) -> Result<Session, ConnectError> {
        let Servers { hosts, target } = &resolved.servers;
        let first = self.preferred.load(Ordering::Relaxed) % hosts.len();
        let left = deadline.saturating_duration_since(Instant::now());
        let share = (left / hosts.len() as u32).max(MIN_SERVER_TIMEOUT).min(left);
        let (mut n_answered, mut last) = (0, None);
        for at in (first..hosts.len()).chain(0..first) {
            let opening = async {
                let mut session = Session::open(&hosts[at], self.pooling, settings).await?;
                // Connections that are opened together need one proof.
                let mut proven = self.proven.lock().await;
                if !*proven {
                    session.is_one_of_its_own(&hosts[at]).await?;
                    *proven = true;
                }
                drop(proven);
                Ok::<_, ConnectError>(session)
            };
            match timeout(share, opening).await.unwrap_or(Err(ConnectError::Silent)) {
                Ok(session) if fits(*target, session.writable) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok(session);
                }
                Ok(session) => {
                    n_answered += 1;
                    session.close().await;
                }
                Err(ConnectError::Failed(refusal)) if is_login(&refusal) => {
                    return Err(ConnectError::Login { key: resolved.url.key, refusal });
                }
                Err(error) => last = Some(error),
            }
        }
        let (key, wanted) = (resolved.url.key, target.name());
        match last {
            Some(error) if n_answered == 0 || !error.is_transient() => Err(error),
            _ => Err(ConnectError::Target { key, n: n_answered, wanted }),
        }
    }
}

const fn fits(target: Target, writable: bool) -> bool {
    match target {
        Target::Any => true,
        Target::ReadWrite => writable,
        Target::ReadOnly => !writable,
    }
}

/// Whether the server refused user or password (SQLSTATE class 28).
fn is_login(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.code().is_some_and(|code| code.starts_with("28"))
}
