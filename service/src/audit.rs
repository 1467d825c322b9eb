//! The audit log: an answer needs a receipt, and only a committed row gives one.

mod digest;
pub mod row;

pub use digest::InputKey;

use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;
use row::{PredictionRow, StoredPrediction};
use std::sync::Arc;
use uuid::Uuid;

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
    store: Arc<Store>,
    metrics: Arc<Metrics>,
}

impl AuditLog {
    /// On this store.
    pub fn new(store: Arc<Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }

    /// Commits the row.
    ///
    /// # Errors
    /// When it is not known to be committed: then there must be no answer.
    pub async fn record(&self, row: &PredictionRow) -> Result<AuditReceipt, StoreError> {
        match self.store.insert_prediction(row).await {
            Ok(()) => Ok(AuditReceipt { id: row.id }),
            Err(error) => {
                self.metrics.audit_failed();
                Err(error)
            }
        }
    }

    /// The row of that id.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find(&self, id: Uuid) -> Result<Option<StoredPrediction>, StoreError> {
        self.store.find_prediction(id).await
    }
}
