//! The audit log: an answer needs a receipt, and only a committed row gives one.

pub mod anchor;
pub mod columns;
mod digest;
pub mod export;
mod group;
pub mod row;
pub mod sequencer;
pub mod signing;
pub mod tree;
pub mod verify;
mod writer;

pub use digest::InputKey;
pub use group::GroupPolicy;

use crate::store::{Filter, NewLabel, Page, Read, SignedHead, Store, StoreError, StoredLabel};
use crate::telemetry::metrics::Metrics;
use crate::threads::JobLost;
use row::{PredictionRow, SealedRow, StoredPrediction};
use signing::{LogKey, SignatureError};
use std::sync::Arc;
use time::OffsetDateTime;
use tlog_tiles::Hash;
use uuid::Uuid;
use writer::Writer;

/// Why a row is not known to be committed; several rows can share the cause.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    /// The database refused, failed or gave no answer.
    #[error("the row was not committed")]
    Store(#[source] Arc<StoreError>),
    /// Our own task failed.
    #[error("the row was not handed over")]
    Lost(#[from] JobLost),
    /// The row has no canonical form.
    #[error("the row cannot be encoded")]
    Encoding(#[source] Arc<serde_json::Error>),
    /// The row is committed, but its receipt is not signed.
    #[error("the row is committed and has no receipt")]
    Receipt(#[source] Arc<SignatureError>),
}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// Proof that the row of this id is committed. Only [`AuditLog::record`] makes one, and every answer consumes one.
#[derive(Debug, Clone)]
pub struct AuditReceipt {
    sealed: Arc<SealedRow>,
    signed_at: OffsetDateTime,
    key_id: String,
    note: String,
}

impl AuditReceipt {
    /// The row.
    pub fn row(&self) -> &PredictionRow {
        self.sealed.row()
    }

    /// The row's id.
    pub fn id(&self) -> Uuid {
        self.row().id
    }

    /// The row's leaf in the tree.
    pub fn leaf_hash(&self) -> Hash {
        self.sealed.leaf_hash()
    }

    /// When the receipt was signed.
    pub const fn signed_at(&self) -> OffsetDateTime {
        self.signed_at
    }

    /// Id of the key that signed it.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// All of this as a signed note.
    pub fn note(&self) -> &str {
        &self.note
    }
}

/// Writes and reads audit rows.
pub struct AuditLog {
    policy: GroupPolicy,
    writer: Writer,
    key: Arc<LogKey>,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
}

impl AuditLog {
    /// On this store. Call inside a Tokio runtime.
    pub fn new(policy: GroupPolicy, key: Arc<LogKey>, store: Arc<Store>, metrics: Arc<Metrics>) -> Self {
        let writer = Writer::start(policy, Arc::clone(&store), Arc::clone(&metrics));
        Self { policy, writer, key, store, metrics }
    }

    /// Commits the row, together with others where many images are inside; `in_flight` counts them.
    ///
    /// # Errors
    /// When it is not known to be committed, or has no receipt: then there must be no answer.
    pub async fn record(&self, row: PredictionRow, in_flight: usize) -> Result<AuditReceipt, RecordError> {
        let recorded = async {
            let sealed = row.seal().map_err(|error| RecordError::Encoding(Arc::new(error)))?;
            let sealed = Arc::new(sealed);
            // Boxed: sixteen kilobytes, for a value of each column and the pool.
            Box::pin(self.commit(&sealed, in_flight)).await?;
            self.receipt(sealed)
        };
        recorded.await.inspect_err(|_| self.metrics.audit_failed())
    }

    async fn commit(&self, sealed: &Arc<SealedRow>, in_flight: usize) -> Result<(), RecordError> {
        if self.policy.alone(in_flight) {
            let inserted = self.store.insert_predictions(&[sealed]).await;
            inserted.inspect(|()| self.metrics.committed(1)).map_err(RecordError::from)
        } else {
            self.writer.commit(Arc::clone(sealed), in_flight).await
        }
    }

    fn receipt(&self, sealed: Arc<SealedRow>) -> Result<AuditReceipt, RecordError> {
        let signed_at = OffsetDateTime::now_utc();
        let note = self.key.receipt(sealed.row().id, sealed.leaf_hash(), signed_at);
        let note = note.map_err(|error| RecordError::Receipt(Arc::new(error)))?;
        Ok(AuditReceipt { sealed, signed_at, key_id: self.key.id(), note })
    }

    /// The row of that id.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find(&self, id: Uuid) -> Result<Option<StoredPrediction>, StoreError> {
        self.store.find_prediction(id).await
    }

    /// Rows that a filter lets through, the newest first.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<StoredPrediction>, StoreError> {
        self.store.list_predictions(filter, page).await
    }

    /// Commits a label; it as it is kept, and whether it is new.
    ///
    /// # Errors
    /// When it is not known to be committed.
    pub async fn label(&self, label: &NewLabel) -> Result<(StoredLabel, bool), StoreError> {
        self.store.insert_label(label).await
    }

    /// Every label of an image, the one that counts first.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn labels(&self, id: Uuid) -> Result<Vec<StoredLabel>, StoreError> {
        self.store.list_labels(id).await
    }

    /// Writes down that somebody reads the log.
    ///
    /// # Errors
    /// When it is not known to be written: then there must be no answer.
    pub async fn record_read(&self, read: &Read) -> Result<(), StoreError> {
        self.store.insert_read(read).await
    }

    /// The newest signed head of the tree, or the one of a size.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn head(&self, size: Option<u64>) -> Result<Option<SignedHead>, StoreError> {
        self.store.head(size).await
    }

    /// Index and hash of a row's leaf; none while it waits for its place.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn place(&self, id: Uuid) -> Result<Option<(u64, Hash)>, StoreError> {
        self.store.place(id).await
    }

    /// The tree's hashes at positions, of those that exist.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn tree_hashes(&self, positions: &[u64]) -> Result<Vec<(u64, Hash)>, StoreError> {
        self.store.tree_hashes(positions).await
    }
}
