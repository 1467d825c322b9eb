//! The table `shadow_predictions`: one insert.

use super::{StoreError, Writer, write};
use crate::record::shadow::ShadowRow;

const INSERT: &str = "
INSERT INTO shadow_predictions (
    prediction_id, model_name, model_version, bundle_digest, variant, execution,
    policy_digest, logit, probability, threshold, decision, answered_probability, answered_decision)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

impl Writer {
    pub async fn insert_shadow(&self, row: &ShadowRow<'_>) -> Result<(), StoreError> {
        let insert = sqlx::query(INSERT)
            .bind(row.prediction_id)
            .bind(row.model_name)
            .bind(row.model_version)
            .bind(row.bundle_digest)
            .bind(row.variant)
            .bind(row.execution)
            .bind(row.policy_digest)
            .bind(row.logit)
            .bind(row.probability)
            .bind(row.threshold)
            .bind(row.decision)
            .bind(row.answered_probability)
            .bind(row.answered_decision);
        self.pool.run(async |session| write::exactly(session, 1, "shadow_predictions", insert).await).await
    }
}
