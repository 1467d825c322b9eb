//! How a connection comes to be: which server, which password, and what is wrong where there is none.

use super::session::{Session, Settings};
use crate::config::database::Pooling;
use crate::config::servers::{DatabaseUrl, Servers, Target, UrlError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// A server of several has at least this long to answer.
const AT_LEAST: Duration = Duration::from_millis(300);

/// First and longest pause before a server is asked again that was not there.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// A failure of so long ago still explains a try that ended without an answer.
const RECENT: Duration = Duration::from_secs(1);

/// Why there is no connection. Its text names no host, user or database: probes are public. The source does, and is for the log.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server cannot be reached, or refused.
    #[error("no server could be reached")]
    Failed(#[from] sqlx::Error),
    /// The server does not let this user in.
    #[error(
        "{key}: login refused; check user and password (the URL's file is read again after each refusal)"
    )]
    Login {
        /// The URL's key.
        key: &'static str,
        /// The server's words.
        #[source]
        refusal: sqlx::Error,
    },
    /// Every server that answers is of the wrong kind.
    #[error("{key}: {n} servers answered, but none is {wanted}")]
    Target {
        /// The URL's key.
        key: &'static str,
        /// Servers that answered.
        n: usize,
        /// What is wanted.
        wanted: &'static str,
    },
    /// A setting is not in force.
    #[error(
        "the database session has {name} = {found:?} and needs {expected:?}: a pooler or proxy drops or resets it"
    )]
    Setting {
        /// Its name.
        name: &'static str,
        /// What was set.
        expected: String,
        /// What was read.
        found: String,
    },
    /// Two connections are one session, or one connection is several.
    #[error(
        "a pooler shares this connection's session with others (PgBouncer: pool_mode = transaction or statement): set \
         service.database.pooling to transaction, or use pool_mode = session"
    )]
    Shared,
    /// The file of the URL.
    #[error("{key}_file cannot be used")]
    File {
        /// The URL's key.
        key: &'static str,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// The URL in the file.
    #[error("{key}: the URL in its file cannot be used")]
    Url {
        /// The URL's key.
        key: &'static str,
        /// Why not.
        #[source]
        cause: UrlError,
    },
    /// No answer in time.
    #[error("no server answered in time")]
    Silent,
    /// All connections of the pool are in use.
    #[error("all connections are in use")]
    Exhausted,
}

impl ConnectError {
    /// Whether a server that comes up, or the next one of several, may do better.
    fn may_pass(&self) -> bool {
        match self {
            Self::Failed(sqlx::Error::Database(error)) => {
                // cannot_connect_now, too_many_connections, and the classes of broken connections and of shutdown.
                error.code().is_some_and(|code| {
                    code.starts_with("57P") || code.starts_with("53") || code.starts_with("08")
                })
            }
            Self::Failed(sqlx::Error::Io(_)) | Self::Target { .. } | Self::Silent => true,
            _ => false,
        }
    }
}

/// How to connect as one user.
pub(super) struct Connector {
    url: Mutex<Arc<Known>>,
    pooling: Pooling,
    settings: Settings,
    /// The server that was right the last time.
    preferred: AtomicUsize,
    /// Whether a second connection was a second session.
    proven: tokio::sync::Mutex<bool>,
    last_failure: Mutex<Option<(Instant, Arc<ConnectError>)>>,
}

/// A URL and what it says.
struct Known {
    url: DatabaseUrl,
    servers: Servers,
}

impl Known {
    fn of(url: DatabaseUrl) -> Result<Self, ConnectError> {
        let mut servers = url.servers().map_err(|cause| ConnectError::Url { key: url.key, cause })?;
        // Not sent at the start, where poolers refuse or drop what they do not know: everything is set afterwards.
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
            url: Mutex::new(Arc::new(Known::of(url.clone())?)),
            pooling,
            settings,
            preferred: AtomicUsize::default(),
            proven: tokio::sync::Mutex::default(),
            last_failure: Mutex::default(),
        })
    }

    /// A connection by then: while servers are not there they are asked again, and while the password is wrong its file is read again.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<Session, Arc<ConnectError>> {
        self.connect_with(&[], deadline).await
    }

    /// The same with settings more, or others.
    pub(super) async fn connect_with(
        &self,
        more: &[(&'static str, String)],
        deadline: Instant,
    ) -> Result<Session, Arc<ConnectError>> {
        // What is said here counts in place of the pool's: both would be set, and the first be missed when it is read back.
        let usual = self.settings.iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
        let settings: Settings = usual.chain(more).cloned().collect();
        let mut pause = FIRST_PAUSE;
        loop {
            let known = self.known();
            let mut failure = match self.try_servers(&known, &settings, deadline).await {
                Ok(session) => return Ok(session),
                Err(error) => self.failed(error).await,
            };
            let login = matches!(*failure, ConnectError::Login { .. });
            if !login && !failure.may_pass() {
                return Err(failure);
            }
            // A wrong password is not tried twice: servers lock users out.
            loop {
                if deadline.saturating_duration_since(Instant::now()) <= pause {
                    return Err(failure);
                }
                let read = if login { self.read_again(&known).await } else { Ok(false) };
                match read {
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

    /// Remembers why there is no connection, or no longer.
    pub(super) async fn failed(&self, error: ConnectError) -> Arc<ConnectError> {
        if matches!(error, ConnectError::Shared | ConnectError::Setting { .. }) {
            self.prove_again().await;
        }
        let mut last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            // The deadline cut this try short: the one before it says more.
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

    /// Why there was no connection, if that was since then.
    pub(super) fn failure_since(&self, then: Instant) -> Option<Arc<ConnectError>> {
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| *at >= then).map(|(_, failure)| Arc::clone(failure))
    }

    /// Shows that a connection is a session of its own, each time: for what holds a lock of its session.
    pub(super) async fn prove_again(&self) {
        *self.proven.lock().await = false;
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.url.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what the URL's file holds now; whether that is new.
    async fn read_again(&self, tried: &Arc<Known>) -> Result<bool, ConnectError> {
        let known = self.known();
        if !Arc::ptr_eq(&known, tried) {
            return Ok(true);
        }
        let (url, key) = (known.url.clone(), known.url.key);
        let read = tokio::task::spawn_blocking(move || url.read_again()).await;
        let read = read.map_err(|error| std::io::Error::other(error.to_string())).flatten();
        let Some(newer) = read.map_err(|cause| ConnectError::File { key, cause })? else { return Ok(false) };
        // Whoever rewrites a file in place may be read in the middle.
        let Ok(newer) = Known::of(newer) else { return Ok(false) };
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(newer);
        tracing::info!(key, "database login refused; using the new URL from the file");
        Ok(true)
    }

    /// The first server of the wanted kind, beginning with the one that was it before.
    async fn try_servers(
        &self,
        known: &Known,
        settings: &Settings,
        deadline: Instant,
    ) -> Result<Session, ConnectError> {
        let Servers { hosts, target } = &known.servers;
        let first = self.preferred.load(Ordering::Relaxed) % hosts.len();
        let left = deadline.saturating_duration_since(Instant::now());
        let share = (left / hosts.len() as u32).max(AT_LEAST).min(left);
        let (mut n_answered, mut last) = (0, None);
        for at in (first..hosts.len()).chain(0..first) {
            let opening = async {
                let mut session = Session::open(&hosts[at], self.pooling, settings).await?;
                // Of connections that are opened together one is enough.
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
                    return Err(ConnectError::Login { key: known.url.key, refusal });
                }
                Err(error) => last = Some(error),
            }
        }
        let (key, wanted) = (known.url.key, target.name());
        match last {
            Some(error) if n_answered == 0 || !error.may_pass() => Err(error),
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

/// Whether the server refused user or password: class 28 of SQLSTATE.
fn is_login(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.code().is_some_and(|code| code.starts_with("28"))
}
