//! The audit log: an answer needs a receipt, and only a committed row gives one.

mod digest;
mod group;
pub mod row;
mod writer;

pub use digest::InputKey;
pub use group::GroupPolicy;

use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::threads::JobLost;
use row::{PredictionRow, StoredPrediction};
use std::sync::Arc;
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
}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// Proof that the row of this id is committed. Only [`AuditLog::record`] makes one, and every answer consumes one.
#[derive(Debug)]
pub struct AuditReceipt {
    id: Uuid,
}

impl AuditReceipt {
    /// The row's id.
    pub const fn id(&self) -> Uuid {
        self.id
    }
}

/// Writes and reads audit rows.
pub struct AuditLog {
    policy: GroupPolicy,
    writer: Writer,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
}

impl AuditLog {
    /// On this store. Call inside a Tokio runtime.
    pub fn new(policy: GroupPolicy, store: Arc<Store>, metrics: Arc<Metrics>) -> Self {
        let writer = Writer::start(policy, Arc::clone(&store), Arc::clone(&metrics));
        Self { policy, writer, store, metrics }
    }

    /// Commits the row, together with others where many images are inside; `in_flight` counts them.
    ///
    /// # Errors
    /// When it is not known to be committed: then there must be no answer.
    pub async fn record(
        &self,
        row: &Arc<PredictionRow>,
        in_flight: usize,
    ) -> Result<AuditReceipt, RecordError> {
        let committed = if self.policy.alone(in_flight) {
            let inserted = self.store.insert_predictions(&[row]).await;
            inserted.inspect(|()| self.metrics.committed(1)).map_err(RecordError::from)
        } else {
            self.writer.commit(Arc::clone(row), in_flight).await
        };
        committed.inspect_err(|_| self.metrics.audit_failed())?;
        Ok(AuditReceipt { id: row.id })
    }

    /// The row of that id.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find(&self, id: Uuid) -> Result<Option<StoredPrediction>, StoreError> {
        self.store.find_prediction(id).await
    }
}
