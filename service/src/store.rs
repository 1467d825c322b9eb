//! Postgres: the only folder with SQL. Every wait has a timeout, because a database can stall.
//!
//! [`Store`] holds one handle per purpose. Each has connections of its own, so a search never takes the
//! connection that a prediction needs. A handle's methods stand in the file of the table that they use.

mod alarm_events;
mod clock;
mod connect;
mod describe;
mod error;
mod export;
mod idempotency;
mod labels;
mod last_failure;
mod lease;
mod model_state;
pub mod monitoring;
mod monitoring_results;
mod months;
mod operations;
mod pool;
mod predictions;
mod reads;
mod review;
mod rights;
mod schema;
mod session;
mod shadow;
mod subjects;
mod tree;
mod write;

pub use alarm_events::{AlarmAction, AlarmEvent, AlarmMark, AlarmOutcome};
pub use clock::ClockDifference;
pub use connect::ConnectError;
pub use describe::describe;
pub use error::StoreError;
pub use export::{ExportItem, ExportedLabel};
pub use labels::{CurrentLabel, LabelledPrediction, NewLabel, StoredLabel};
pub use lease::{Contender, Lease, LeaseName};
pub use model_state::StoredState;
pub use monitoring_results::StoredResults;
pub use months::{DropOutcome, Month};
pub use operations::{Operator, Reason, StoredOperation};
pub use pool::PoolState;
pub use predictions::{Filter, Page};
pub use reads::Read;
pub use review::DrawnImage;
pub use rights::{Login, Rights, log_in};
pub use schema::SchemaState;
pub use subjects::Erasure;
pub use tree::{Growth, Leaf, Sequenced, SignedCheckpoint, StoredLeaf};

use crate::config::database::{DatabaseConfig, Pooling};
use crate::record::SealedRow;
use connect::Connector;
use last_failure::LastFailure;
use pool::Pool;
use session::Session;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One generic plan fits any number of rows. Commits are durable whatever the database's default is.
const WRITERS: [(&str, &str); 2] = [("plan_cache_mode", "force_generic_plan"), ("synchronous_commit", "on")];

/// The best plan of a search depends on its values. Compiling a plan (JIT) takes longer than reading a page.
const READERS: [(&str, &str); 2] = [("plan_cache_mode", "force_custom_plan"), ("jit", "off")];

/// Connections of each of the two small pools, for annotations and for replayed answers.
const SMALL_POOL: u32 = 2;

/// Longest time that a readiness probe waits for an answer once it has a connection.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The audit log's database.
pub struct Store {
    /// Commits audit rows; answers probes and the commands of the log's owner.
    pub writer: Writer,
    /// Searches, proofs and exports.
    pub reader: Reader,
    /// Commits labels, recorded reads and what operators do; reads the model's state.
    pub annotations: AnnotationWriter,
    /// Reads the rows of replayed answers, so that retries do not wait for searches.
    pub replays: Reader,
    /// Sessions outside the pools, as the writer: leases, migrations and dropping months.
    direct: Connector,
    timeout: Duration,
}

/// Writes as the user of `database.url`.
pub struct Writer {
    pool: Pool,
    last_failure: LastFailure,
    max_clock_difference: Duration,
}

/// Writes what annotates audit rows, as the user of `database.url`.
pub struct AnnotationWriter(Pool);

/// Reads as the user of `database.reader_url`.
pub struct Reader(Pool);

impl Store {
    /// Makes the pools without connecting: the service starts, unready, while the database is away.
    pub fn new(config: &DatabaseConfig) -> Result<Self, StoreError> {
        let (url, reader_url) = (config.url(), config.reader_url());
        let writers = |connections| Pool::new(&url, connections, config, &WRITERS);
        let readers = |connections| Pool::new(&reader_url, connections, config, &READERS);
        let settings = pool::settings(config, &WRITERS);
        let direct = Connector::new(&config.direct_url(), Pooling::Session, settings).map_err(Arc::new)?;
        Ok(Self {
            writer: Writer {
                pool: writers(config.max_connections.get())?,
                last_failure: LastFailure::default(),
                max_clock_difference: config.max_clock_difference_ms.duration(),
            },
            reader: Reader(readers(config.reader_connections.get())?),
            annotations: AnnotationWriter(writers(SMALL_POOL)?),
            replays: Reader(readers(SMALL_POOL)?),
            direct,
            timeout: pool::timeout(config),
        })
    }

    /// A session outside the pools; `overrides` replace settings of the same name.
    async fn connect_directly(&self, overrides: &[(&'static str, String)]) -> Result<Session, StoreError> {
        // The caller may take a lock that belongs to the session: no pooler may share it.
        self.direct.require_proof().await;
        Ok(self.direct.connect(overrides, Instant::now() + self.timeout).await?)
    }

    /// Applies the missing migrations.
    ///
    /// # Errors
    /// When one fails; the ones before it stay applied.
    pub async fn migrate(&self) -> Result<SchemaState, StoreError> {
        let mut session = self.connect_directly(&[]).await?;
        schema::migrate(session.connection()).await.map_err(StoreError::Migrate)?;
        match schema::state(&mut session).await? {
            SchemaState::Behind { .. } => {
                Err(StoreError::Rows { table: "_sqlx_migrations", written: 1, kept: 0 })
            }
            state => Ok(state),
        }
    }

    /// Values of the label `pool` of metrics. Dashboards rely on them, so they keep their older words.
    fn named_pools(&self) -> [(&'static str, &Pool); 4] {
        [
            ("writer", &self.writer.pool),
            ("reader", &self.reader.0),
            ("clerk", &self.annotations.0),
            ("repeater", &self.replays.0),
        ]
    }

    pub fn pools(&self) -> [(&'static str, PoolState); 4] {
        self.named_pools().map(|(name, pool)| (name, pool.state()))
    }

    pub async fn close(&self) {
        for (_, pool) in self.named_pools() {
            pool.close().await;
        }
    }
}

impl Writer {
    /// Commits rows, all or none of them.
    ///
    /// # Errors
    /// After `Statement` or `Timeout` the rows may exist, unless the error blames a row.
    pub async fn insert_predictions(&self, rows: &[&SealedRow]) -> Result<(), StoreError> {
        let max = self.max_clock_difference;
        let insert = || self.pool.run(async |session| predictions::insert(session, rows, max).await);
        let mut inserted = insert().await;
        if inserted.as_ref().is_err_and(StoreError::lacks_a_month) {
            // The sequencer makes months ahead: no replica led for months, or our clock is wrong.
            let made = match self.clock_difference().await {
                Ok(difference) if difference.exceeds(max) => Err(StoreError::Clock(difference)),
                Ok(_) => self.pool.run(async |session| months::make(session).await).await,
                Err(error) => Err(error),
            };
            inserted = match made {
                Ok(_) => insert().await,
                Err(error) => Err(error),
            };
        }
        self.last_failure.note(&inserted);
        inserted
    }

    /// Public text of the last failure, if it was a moment ago and no row was committed since.
    pub fn recent_failure(&self) -> Option<String> {
        self.last_failure.recent()
    }

    /// The largest clock difference with which rows are written.
    pub const fn max_clock_difference(&self) -> Duration {
        self.max_clock_difference
    }
}
