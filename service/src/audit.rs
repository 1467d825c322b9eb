//! The audit log: an answer needs a receipt, and only a committed row gives one.

pub mod anchor;
pub mod columns;
pub mod erasures;
pub mod export;
mod group;
pub mod keyed;
mod outside;
mod publisher;
pub mod repeats;
pub mod row;
pub mod sequencer;
pub mod signing;
pub mod tree;
pub mod verify;
mod writer;

use group::GroupPolicy;
pub use keyed::{SiteKey, leaf_key};
pub(crate) use outside::PATIENCE;

use crate::config::audit::AuditConfig;
use crate::config::secret::Secret;
use crate::store::{
    Filter, LabelledPrediction, NewLabel, Page, Read, SignedHead, Store, StoreError, StoredLabel, StoredLeaf,
};
use crate::telemetry::metrics::Metrics;
use crate::threads::JobLost;
use columns::Columns;
use rand_core::{OsRng, RngCore};
use repeats::{Earlier, Kept, RequestKey, answer_key};
use row::{PredictionRow, SealedRow, Seals, StoredPrediction};
use signing::{LogKey, SignatureError};
use std::sync::Arc;
use std::time::Duration;
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
    /// Another row was committed under the same idempotency key meanwhile, and this one was not.
    #[error("another row has this idempotency key")]
    Repeated,
    /// An earlier request's row is committed, and cannot be read yet.
    #[error("the row of the earlier request cannot be read yet")]
    Behind,
    /// What the database holds is not what was recorded.
    #[error("{0}: the database was changed by somebody else than the service")]
    Changed(&'static str),
    /// The row is committed, but its receipt is not signed.
    #[error("the row is committed and has no receipt")]
    Receipt(#[source] Arc<SignatureError>),
}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        if error.is_repetition() { Self::Repeated } else { Self::Store(Arc::new(error)) }
    }
}

/// A row's receipt: its leaf, signed.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The row.
    pub id: Uuid,
    /// Its leaf in the tree.
    pub leaf_hash: Hash,
    /// When it was signed.
    pub signed_at: OffsetDateTime,
    /// Id of the key that signed it.
    pub key_id: String,
    /// All of this as a signed note.
    pub note: String,
}

/// Proof that the row of this id is committed. Only [`AuditLog::record`] makes one, and every answer consumes one.
#[derive(Debug, Clone)]
pub struct AuditReceipt {
    sealed: Arc<SealedRow>,
    signed: Receipt,
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

    /// What is signed of it.
    pub const fn signed(&self) -> &Receipt {
        &self.signed
    }
}

/// The key that subjects are found by.
pub fn subject_lookup(site_key: &SiteKey) -> SiteKey {
    site_key.derived("subject")
}

/// Writes and reads audit rows.
pub struct AuditLog {
    policy: GroupPolicy,
    writer: Writer,
    key: Arc<LogKey>,
    subject_lookup: SiteKey,
    seals: Seals,
    answers_kept: Duration,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
}

impl AuditLog {
    /// On this store. Call inside a Tokio runtime.
    pub fn new(
        config: &AuditConfig,
        site_key: &SiteKey,
        key: Arc<LogKey>,
        store: Arc<Store>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let policy = GroupPolicy::new(&config.commit);
        let writer = Writer::start(policy, Arc::clone(&store), Arc::clone(&metrics));
        Self {
            policy,
            writer,
            key,
            subject_lookup: subject_lookup(site_key),
            seals: Seals { leaf: leaf_key(site_key), answer: answer_key(site_key) },
            answers_kept: config.idempotency_kept_ms.duration(),
            store,
            metrics,
        }
    }

    /// Commits the row, together with others where many images are inside; `in_flight` counts them. What is `kept` is found
    /// again by its key.
    ///
    /// # Errors
    /// When it is not known to be committed, or has no receipt: then there must be no answer.
    pub async fn record(
        &self,
        row: PredictionRow,
        kept: Option<Kept>,
        in_flight: usize,
    ) -> Result<AuditReceipt, RecordError> {
        let recorded = async {
            let sealed =
                row.seal(&self.seals, kept).map_err(|error| RecordError::Encoding(Arc::new(error)))?;
            let sealed = Arc::new(sealed);
            // Boxed: sixteen kilobytes, for a value of each column and the pool.
            Box::pin(self.commit(&sealed, in_flight)).await?;
            let signed = self.receipt(sealed.row().id, sealed.digests().leaf_hash)?;
            Ok(AuditReceipt { sealed, signed })
        };
        recorded.await.inspect_err(|error| {
            if !matches!(error, RecordError::Repeated) {
                self.metrics.audit_failed();
            }
        })
    }

    async fn commit(&self, sealed: &Arc<SealedRow>, in_flight: usize) -> Result<(), RecordError> {
        if self.policy.alone(in_flight) {
            let inserted = self.store.insert_predictions(&[sealed]).await;
            inserted.inspect(|()| self.metrics.committed(1)).map_err(RecordError::from)
        } else {
            self.writer.commit(Arc::clone(sealed), in_flight).await
        }
    }

    fn receipt(&self, id: Uuid, leaf_hash: Hash) -> Result<Receipt, RecordError> {
        // As the note says it: in microseconds.
        let now = OffsetDateTime::now_utc();
        let signed_at = now.replace_nanosecond(now.nanosecond() / 1000 * 1000).unwrap_or(now);
        let note = self.key.receipt(id, leaf_hash, signed_at);
        let note = note.map_err(|error| RecordError::Receipt(Arc::new(error)))?;
        Ok(Receipt { id, leaf_hash, signed_at, key_id: self.key.id(), note })
    }

    /// What was answered under a key.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn earlier(&self, key: &RequestKey) -> Result<Option<Earlier>, StoreError> {
        self.store.find_earlier(&key.digest, self.answers_kept).await
    }

    /// Lets go of a key whose time is over or whose row is gone.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn forget(&self, key: &RequestKey, prediction_id: Uuid) -> Result<(), StoreError> {
        self.store.forget_earlier(&key.digest, prediction_id).await
    }

    /// Whether the month of an id was dropped.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn retention_took(&self, id: Uuid) -> Result<bool, StoreError> {
        let Some((seconds, _)) = id.get_timestamp().map(|timestamp| timestamp.to_unix()) else {
            return Ok(false);
        };
        let made_at = OffsetDateTime::from_unix_timestamp(seconds as i64);
        let Ok(made_at) = made_at else { return Ok(false) };
        self.store.is_dropped(made_at).await
    }

    /// The row of an answer that was given before, with a new receipt for its old leaf.
    ///
    /// # Errors
    /// When the database gives no answer; `Changed` when the row is not the one that the leaf was made of, or the answer not the one that
    /// was given under the key.
    pub async fn again(
        &self,
        key: &RequestKey,
        earlier: &Earlier,
    ) -> Result<Option<(StoredPrediction, Receipt)>, RecordError> {
        if earlier.code.is_none() {
            return Err(RecordError::Changed(
                "the answer kept under this idempotency key has no code (a release before migration 12 kept it)",
            ));
        }
        let id = earlier.prediction_id;
        let Some(row) = self.store.find_answered(id).await? else { return Ok(None) };
        let leaf =
            self.store.leaf(id).await?.filter(|leaf| leaf.has_place() || leaf.is_ours(&self.seals.leaf));
        let digests = Columns::from(&row).digests();
        let digests = digests.map_err(|error| RecordError::Encoding(Arc::new(error)))?;
        match leaf {
            Some(StoredLeaf { leaf, .. }) if leaf.digests == digests => {}
            _ => return Err(RecordError::Changed("the row is not the one that its leaf was made of")),
        }
        // The code covers the leaf: whoever changes the row and its leaf alike has no code for them.
        if !earlier.is_ours(&self.seals.answer, key, &digests.leaf_hash) {
            return Err(RecordError::Changed(
                "the answer kept under this idempotency key, or its row, is not the one that was given",
            ));
        }
        Ok(Some((row, self.receipt(id, digests.leaf_hash)?)))
    }

    /// What rows hold in place of an identifier; the subject gets its key here if it has none.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn pseudonym(&self, identifier: &Secret) -> Result<[u8; 32], StoreError> {
        let mut fresh = [0; 32];
        OsRng.fill_bytes(&mut fresh);
        let lookup = self.subject_lookup.digest(identifier.expose().as_bytes());
        let key = self.store.find_or_make_subject(&lookup, &fresh).await?;
        Ok(keyed::pseudonym(&key, identifier))
    }

    /// The same, of a subject that is known.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn known_pseudonym(&self, identifier: &Secret) -> Result<Option<[u8; 32]>, StoreError> {
        let lookup = self.subject_lookup.digest(identifier.expose().as_bytes());
        let key = self.store.find_subject(&lookup).await?;
        Ok(key.map(|key| keyed::pseudonym(&key, identifier)))
    }

    /// The row of that id.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find(&self, id: Uuid) -> Result<Option<StoredPrediction>, StoreError> {
        self.store.find_prediction(id).await
    }

    /// The same with the label that counts.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_labelled(&self, id: Uuid) -> Result<Option<LabelledPrediction>, StoreError> {
        self.store.find_labelled(id).await
    }

    /// Rows that a filter lets through with the labels that count, the newest first.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<LabelledPrediction>, StoreError> {
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
