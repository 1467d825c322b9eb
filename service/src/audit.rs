//! The audit log: commits rows, and signs the receipt that every answer needs.
//!
//! Reads without receipts or pseudonyms call `store` directly.

pub mod anchor;
pub mod erasures;
pub mod export;
mod group_commit;
mod group_policy;
pub mod idempotency;
mod publisher;
pub mod sequencer;
pub mod signing;
pub mod verify;
mod volume;

use group_policy::GroupPolicy;
pub(crate) use volume::VOLUME_TIMEOUT;

use crate::config::audit::AuditConfig;
use crate::config::secret::Secret;
use crate::record::hmac::{SiteKey, leaf_key, pseudonym};
use crate::record::idempotency::{FirstAnswer, RequestKey, StoredAnswer, answer_key};
use crate::record::sealed::Seals;
use crate::record::{AuditRow, SealedRow};
use crate::store::{Store, StoreError, StoredLeaf};
use crate::telemetry::metrics::Metrics;
use crate::threads::JobLost;
use group_commit::GroupCommit;
use rand_core::{OsRng, RngCore};
use signing::{LogKey, SignatureError};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tlog_tiles::Hash;
use uuid::Uuid;

/// Why a row has no receipt. Rows that were committed together share the cause.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    #[error("the row was not committed")]
    Store(#[source] Arc<StoreError>),
    #[error("the row was not handed over")]
    Lost(#[from] JobLost),
    #[error("the row cannot be encoded")]
    Encoding(#[source] Arc<serde_json::Error>),
    /// Another row with the same idempotency key was committed first; this one was not.
    #[error("another row has this idempotency key")]
    Repeated,
    /// The row of the earlier request is committed, but the read replica does not have it yet.
    #[error("the row of the earlier request cannot be read yet")]
    Behind,
    /// The database does not hold what the service recorded.
    #[error("{0}: the database was changed outside the service")]
    Changed(&'static str),
    #[error("the row is committed and has no receipt")]
    Receipt(#[source] Arc<SignatureError>),
}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        if error.is_duplicate_key() { Self::Repeated } else { Self::Store(Arc::new(error)) }
    }
}

#[derive(Debug, Clone)]
pub struct SignedReceipt {
    pub id: Uuid,
    pub leaf_hash: Hash,
    /// Time of the signature, in microseconds as in the note.
    pub signed_at: OffsetDateTime,
    pub key_id: String,
    /// The signed note, which states all of this.
    pub note: String,
}

/// Proof that a row is committed. Only [`AuditLog::record`] makes one, and every answer consumes one.
#[derive(Debug, Clone)]
pub struct AuditReceipt {
    signed: SignedReceipt,
}

impl AuditReceipt {
    pub const fn id(&self) -> Uuid {
        self.signed.id
    }

    pub const fn signed(&self) -> &SignedReceipt {
        &self.signed
    }
}

/// The key of the digests by which subjects are found.
pub fn subject_lookup(site_key: &SiteKey) -> SiteKey {
    site_key.derived("subject")
}

/// Records audit rows and finds replayed answers.
pub struct AuditLog {
    policy: GroupPolicy,
    group_commit: GroupCommit,
    key: Arc<LogKey>,
    subject_lookup: SiteKey,
    seals: Seals,
    answers_kept: Duration,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
}

impl AuditLog {
    /// Call inside a Tokio runtime.
    pub fn new(
        config: &AuditConfig,
        site_key: &SiteKey,
        key: Arc<LogKey>,
        store: Arc<Store>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let policy = GroupPolicy::new(&config.commit);
        let group_commit = GroupCommit::start(policy, Arc::clone(&store), Arc::clone(&metrics));
        Self {
            policy,
            group_commit,
            key,
            subject_lookup: subject_lookup(site_key),
            seals: Seals { leaf: leaf_key(site_key), answer: answer_key(site_key) },
            answers_kept: config.idempotency_kept_ms.duration(),
            store,
            metrics,
        }
    }

    /// Commits a row and signs its receipt. Under load rows share a transaction; `in_flight` counts the
    /// admitted images. The first answer is stored under its idempotency key.
    ///
    /// # Errors
    /// The row may not be committed, or has no receipt: there must be no answer.
    pub async fn record(
        &self,
        row: AuditRow,
        first_answer: Option<FirstAnswer>,
        in_flight: usize,
    ) -> Result<AuditReceipt, RecordError> {
        let recorded = async {
            let sealed = row.seal(&self.seals, first_answer);
            let sealed = Arc::new(sealed.map_err(|error| RecordError::Encoding(Arc::new(error)))?);
            // Boxed: the future holds a value for each column, sixteen kilobytes.
            Box::pin(self.commit(&sealed, in_flight)).await?;
            let signed = self.receipt(sealed.row().id, sealed.digests().leaf_hash)?;
            Ok(AuditReceipt { signed })
        };
        recorded.await.inspect_err(|error| {
            if !matches!(error, RecordError::Repeated) {
                self.metrics.audit_failed();
            }
        })
    }

    async fn commit(&self, sealed: &Arc<SealedRow>, in_flight: usize) -> Result<(), RecordError> {
        if self.policy.commits_at_once(in_flight) {
            let inserted = self.store.writer.insert_predictions(&[sealed]).await;
            inserted.inspect(|()| self.metrics.committed(1)).map_err(RecordError::from)
        } else {
            self.group_commit.commit(Arc::clone(sealed), in_flight).await
        }
    }

    fn receipt(&self, id: Uuid, leaf_hash: Hash) -> Result<SignedReceipt, RecordError> {
        // The note states microseconds.
        let now = OffsetDateTime::now_utc();
        let signed_at = now.replace_nanosecond(now.nanosecond() / 1000 * 1000).unwrap_or(now);
        let note = self.key.receipt(id, leaf_hash, signed_at);
        let note = note.map_err(|error| RecordError::Receipt(Arc::new(error)))?;
        Ok(SignedReceipt { id, leaf_hash, signed_at, key_id: self.key.id(), note })
    }

    pub async fn stored_answer(&self, key: &RequestKey) -> Result<Option<StoredAnswer>, StoreError> {
        self.store.writer.stored_answer(&key.digest, self.answers_kept).await
    }

    /// Deletes a key that has expired or whose row was dropped.
    pub async fn delete_key(&self, key: &RequestKey, prediction_id: Uuid) -> Result<(), StoreError> {
        self.store.writer.delete_key(&key.digest, prediction_id).await
    }

    /// Whether retention dropped the month of a row.
    pub async fn is_dropped(&self, id: Uuid) -> Result<bool, StoreError> {
        let seconds = id.get_timestamp().map(|timestamp| timestamp.to_unix().0 as i64);
        let made_at = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        let Some(made_at) = made_at else { return Ok(false) };
        self.store.writer.is_dropped(made_at).await
    }

    /// The row of a stored answer, with a new receipt for its leaf; none if the row cannot be read.
    ///
    /// # Errors
    /// `Changed` if the row does not match its leaf, or the answer is not the one stored under the key.
    pub async fn stored_row(
        &self,
        key: &RequestKey,
        stored: &StoredAnswer,
    ) -> Result<Option<(AuditRow, SignedReceipt)>, RecordError> {
        if stored.code.is_none() {
            return Err(RecordError::Changed(
                "the stored answer has no HMAC (a release before migration 12 stored it)",
            ));
        }
        let id = stored.prediction_id;
        let Some(row) = self.store.replays.prediction(id).await? else { return Ok(None) };
        let leaf = self.store.replays.leaf(id).await?;
        let leaf = leaf.filter(|leaf| leaf.is_sequenced() || leaf.is_ours(&self.seals.leaf));
        let digests = row.digests();
        let digests = digests.map_err(|error| RecordError::Encoding(Arc::new(error)))?;
        match leaf {
            Some(StoredLeaf { leaf, .. }) if leaf.digests == digests => {}
            _ => return Err(RecordError::Changed("the row does not match its leaf")),
        }
        // The HMAC covers the leaf: without the key, a changed row and leaf have no valid HMAC.
        if !stored.is_ours(&self.seals.answer, key, &digests.leaf_hash) {
            return Err(RecordError::Changed("the stored answer or its row was changed"));
        }
        Ok(Some((row, self.receipt(id, digests.leaf_hash)?)))
    }

    /// The pseudonym of an identifier. An unknown subject gets a key.
    pub async fn pseudonym(&self, identifier: &Secret) -> Result<[u8; 32], StoreError> {
        let mut fresh = [0; 32];
        OsRng.fill_bytes(&mut fresh);
        let lookup = self.subject_lookup.digest(identifier.expose().as_bytes());
        let key = self.store.writer.find_or_make_subject(&lookup, &fresh).await?;
        Ok(pseudonym(&key, identifier))
    }

    /// The pseudonym of an identifier whose subject is known.
    pub async fn known_pseudonym(&self, identifier: &Secret) -> Result<Option<[u8; 32]>, StoreError> {
        let lookup = self.subject_lookup.digest(identifier.expose().as_bytes());
        let key = self.store.annotations.find_subject(&lookup).await?;
        Ok(key.map(|key| pseudonym(&key, identifier)))
    }
}
