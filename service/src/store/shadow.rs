//! The table `shadow_predictions`: one insert.

use super::{StoreError, Writer, write};
use crate::shadow::ShadowRow;
use sqlx::types::Json;

const INSERT: &str = "
INSERT INTO shadow_predictions (
    prediction_id, model_name, model_version, bundle_digest, variant, execution,
    policy_digest, logit, probability, threshold, decision, answered_probability, answered_decision)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

impl Writer {
    /// Commits a candidate's score.
    ///
    /// # Errors
    /// After `Statement` or `Timeout` the row may exist.
    pub async fn insert_shadow(&self, row: &ShadowRow) -> Result<(), StoreError> {
        let model = &row.candidate.model;
        let insert = sqlx::query(INSERT)
            .bind(row.prediction_id)
            .bind(&model.manifest().name)
            .bind(&model.manifest().version)
            .bind(model.bundle().digest())
            .bind(model.variant_name())
            .bind(Json(&row.execution))
            .bind(model.policy_digest())
            .bind(row.logit)
            .bind(row.score.probability)
            .bind(model.variant().policy.threshold)
            .bind(row.score.verdict.code())
            .bind(row.answered.probability)
            .bind(row.answered.verdict.code());
        self.pool.run(async |session| write::exactly(session, 1, "shadow_predictions", insert).await).await
    }
}
