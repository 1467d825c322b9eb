//! Postgres: the only folder with SQL. Bounds every wait, so that a stalled database delays nobody without end. Who writes and who
//! reads have connections of their own: an auditor's question never takes a prediction's place.

mod clock;
mod connect;
mod error;
mod export;
mod labels;
mod leader;
mod months;
mod pool;
mod predictions;
mod reads;
mod refusal;
mod repeats;
mod rights;
mod schema;
mod session;
mod shadow;
mod subjects;
mod tree;
mod words;
mod write;

pub use clock::ClockDifference;
pub use connect::ConnectError;
pub use error::StoreError;
pub use export::{ExportItem, ExportedLabel};
pub use labels::{CountingLabel, LabelledPrediction, NewLabel, StoredLabel};
pub use leader::{Grown, Leader};
pub use months::{Dropping, Month};
pub use pool::PoolState;
pub use predictions::{Filter, Page};
pub use reads::Read;
pub use rights::{Login, Rights, log_in};
pub use schema::SchemaState;
pub use tree::{Leaf, Sequenced, SignedHead, StoredLeaf};
pub use words::told;

use crate::audit::repeats::Earlier;
use crate::audit::row::{SealedRow, StoredPrediction};
use crate::config::database::{DatabaseConfig, Pooling};
use crate::shadow::ShadowRow;
use connect::Connector;
use pool::Pool;
use refusal::LastRefusal;
use session::Session;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tlog_tiles::Hash;
use uuid::Uuid;

/// There is one way to insert rows, however many: it is planned once a connection, not again for the first executions of each number.
/// And a commit is durable when it is confirmed, whatever the database says of others.
const WRITERS: [(&str, &str); 2] = [("plan_cache_mode", "force_generic_plan"), ("synchronous_commit", "on")];

/// Each search is planned for its own values: how many rows have them decides the way. Compiling a plan would take longer than a page.
const READERS: [(&str, &str); 2] = [("plan_cache_mode", "force_custom_plan"), ("jit", "off")];

/// Connections for what must neither take a prediction's place nor wait for an auditor.
const BESIDE: u32 = 2;

/// The log's database.
pub struct Store {
    writer: Pool,
    reader: Pool,
    /// As the writer: labels, and notes of who reads. However many there are, rows of images have their connections.
    clerk: Pool,
    /// As the reader: rows of answers that are given again. However long auditors ask, retries have their connections.
    repeater: Pool,
    /// As the writer, where a connection is one session: what leads the tree, and migrations.
    direct: Connector,
    refusal: LastRefusal,
    patience: Duration,
    max_clock_difference: Duration,
}

/// A probe waits for an answer no longer than this, beside the wait for a connection.
const PROBE: Duration = Duration::from_secs(1);

impl Store {
    /// Makes the pools without connecting: the service starts, unready, while the database is away.
    ///
    /// # Errors
    /// When a URL does not parse.
    pub fn new(config: &DatabaseConfig) -> Result<Self, StoreError> {
        let writer = Pool::new(&config.url(), config.max_connections.get(), config, &WRITERS)?;
        let reader = Pool::new(&config.reader_url(), config.reader_connections.get(), config, &READERS)?;
        let clerk = Pool::new(&config.url(), BESIDE, config, &WRITERS)?;
        let repeater = Pool::new(&config.reader_url(), BESIDE, config, &READERS)?;
        let settings = pool::settings(config, &WRITERS);
        let direct = Connector::new(&config.direct_url(), Pooling::Session, settings).map_err(Arc::new)?;
        Ok(Self {
            writer,
            reader,
            clerk,
            repeater,
            direct,
            refusal: LastRefusal::default(),
            patience: pool::patience(config),
            max_clock_difference: config.max_clock_difference_ms.duration(),
        })
    }

    /// A session of its own, with settings more.
    async fn connect_directly(&self, more: &[(&'static str, String)]) -> Result<Session, StoreError> {
        // It may hold a lock that only its session has.
        self.direct.prove_again().await;
        Ok(self.direct.connect_with(more, Instant::now() + self.patience).await?)
    }

    /// Commits rows, all or none of them.
    ///
    /// # Errors
    /// After `Statement` or `Timeout` the rows may exist, unless the error blames a row.
    pub async fn insert_predictions(&self, rows: &[&SealedRow]) -> Result<(), StoreError> {
        let most = self.max_clock_difference;
        let insert = || self.writer.run(async |session| predictions::insert(session, rows, most).await);
        let mut inserted = insert().await;
        if inserted.as_ref().is_err_and(StoreError::lacks_a_month) {
            // The leader makes months ahead. One is missing where no replica led for months, or where this clock is wrong.
            let made = match self.clock_difference().await {
                Ok(difference) if difference.exceeds(most) => Err(StoreError::Clock(difference)),
                Ok(_) => self.writer.run(async |session| months::make(session).await).await,
                Err(error) => Err(error),
            };
            inserted = match made {
                Ok(_) => insert().await,
                Err(error) => Err(error),
            };
        }
        self.refusal.note(&inserted);
        inserted
    }

    /// Why rows were not committed a moment ago, and none was since; fit for anybody to read.
    pub fn recent_refusal(&self) -> Option<String> {
        self.refusal.recent()
    }

    /// What was answered under an idempotency key; expired where that is longer ago than `kept`.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_earlier(
        &self,
        key_digest: &[u8; 32],
        kept: Duration,
    ) -> Result<Option<Earlier>, StoreError> {
        self.writer.run(async |connection| repeats::find(connection, key_digest, kept).await).await
    }

    /// Lets go of an idempotency key, if it still is the one of that row.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn forget_earlier(&self, key_digest: &[u8; 32], prediction_id: Uuid) -> Result<(), StoreError> {
        self.writer.run(async |connection| repeats::forget(connection, key_digest, prediction_id).await).await
    }

    /// The leaf of a row, whether it waits or has its place.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn leaf(&self, id: Uuid) -> Result<Option<StoredLeaf>, StoreError> {
        self.repeater.run(async |connection| tree::leaf(connection, id).await).await
    }

    /// Commits a candidate's score.
    ///
    /// # Errors
    /// After `Statement` or `Timeout` the row may exist.
    pub async fn insert_shadow(&self, row: &ShadowRow) -> Result<(), StoreError> {
        self.writer.run(async |connection| shadow::insert(connection, row).await).await
    }

    /// Commits that somebody reads the log.
    ///
    /// # Errors
    /// When it is not known to be committed.
    pub async fn insert_read(&self, read: &Read) -> Result<(), StoreError> {
        self.clerk.run(async |connection| reads::insert(connection, read).await).await
    }

    /// Commits that the user of `database.url` reads the log, without the service.
    ///
    /// # Errors
    /// When it is not known to be committed.
    pub async fn note_read(&self, query: &serde_json::Value, n_rows: Option<u64>) -> Result<(), StoreError> {
        self.writer.run(async |connection| reads::note(connection, query, n_rows).await).await
    }

    /// Commits a label; it as it is kept, and whether it is new.
    ///
    /// # Errors
    /// After `Statement` or `Timeout` the label may exist.
    pub async fn insert_label(&self, label: &NewLabel) -> Result<(StoredLabel, bool), StoreError> {
        self.clerk.run(async |connection| labels::insert(connection, label).await).await
    }

    /// Every label of an image, the one that counts first.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn list_labels(&self, id: Uuid) -> Result<Vec<StoredLabel>, StoreError> {
        self.reader.run(async |connection| labels::list(connection, id).await).await
    }

    /// The row of that id.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_prediction(&self, id: Uuid) -> Result<Option<StoredPrediction>, StoreError> {
        self.reader.run(async |connection| predictions::find(connection, id).await).await
    }

    /// The same with the label that counts.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_labelled(&self, id: Uuid) -> Result<Option<LabelledPrediction>, StoreError> {
        self.reader.run(async |connection| predictions::find_labelled(connection, id).await).await
    }

    /// The same, for an answer that is given again.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_answered(&self, id: Uuid) -> Result<Option<StoredPrediction>, StoreError> {
        self.repeater.run(async |connection| predictions::find(connection, id).await).await
    }

    /// Rows that a filter lets through with the labels that count, the newest first.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn list_predictions(
        &self,
        filter: &Filter,
        page: Page,
    ) -> Result<Vec<LabelledPrediction>, StoreError> {
        self.reader.run(async |connection| predictions::list(connection, filter, page).await).await
    }

    /// The newest signed head of the tree, or the one of a size.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn head(&self, size: Option<u64>) -> Result<Option<SignedHead>, StoreError> {
        self.reader.run(async |connection| tree::head(connection, size).await).await
    }

    /// Index and hash of a row's leaf; none while it waits for its place.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn place(&self, id: Uuid) -> Result<Option<(u64, Hash)>, StoreError> {
        self.reader.run(async |connection| tree::place(connection, id).await).await
    }

    /// The tree's hashes at positions, of those that exist.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn tree_hashes(&self, positions: &[u64]) -> Result<Vec<(u64, Hash)>, StoreError> {
        self.reader.run(async |connection| tree::hashes(connection, positions).await).await
    }

    /// Whether the database answers and holds the schema that this program needs.
    ///
    /// # Errors
    /// When the database gives no answer soon, or is read-only.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let probe = async |session: &mut Session| {
            session.verify().await.map_err(Arc::new)?;
            let state = schema::state(session).await?;
            if matches!(state, SchemaState::Current { .. }) {
                schema::write_nothing(session).await?;
            }
            Ok::<_, StoreError>(state)
        };
        self.writer.run_within(PROBE, probe).await
    }

    /// Whether the user who writes could change what is written.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn owns_the_log(&self) -> Result<bool, StoreError> {
        self.writer.run(async |connection| schema::owns_the_log(connection).await).await
    }

    /// How far this process's clock is from the database's.
    ///
    /// # Errors
    /// When the database gives no answer soon.
    pub async fn clock_difference(&self) -> Result<ClockDifference, StoreError> {
        self.writer.run_within(PROBE, async |session| clock::difference(session).await).await
    }

    /// How far it may be.
    pub const fn max_clock_difference(&self) -> Duration {
        self.max_clock_difference
    }

    /// Applies the migrations that are missing.
    ///
    /// # Errors
    /// When one fails; the ones before it stay.
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

    /// The connections, by what they are for.
    pub fn pools(&self) -> [(&'static str, PoolState); 4] {
        [
            ("writer", self.writer.state()),
            ("reader", self.reader.state()),
            ("clerk", self.clerk.state()),
            ("repeater", self.repeater.state()),
        ]
    }

    /// Closes the connections.
    pub async fn close(&self) {
        for pool in [&self.writer, &self.reader, &self.clerk, &self.repeater] {
            pool.close().await;
        }
    }
}
