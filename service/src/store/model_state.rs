//! The table `model_states`: whether the model answers. The newest row counts.

use super::operations::{Operator, Reason};
use super::{AnnotationWriter, StoreError, write};
use crate::config::model::ModelState;
use serde_json::json;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use time::OffsetDateTime;
use uuid::Uuid;

/// What an operator has set last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredState {
    pub state: ModelState,
    pub reason: String,
    pub at: OffsetDateTime,
}

impl FromRow<'_, PgRow> for StoredState {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let state: &str = row.try_get("state")?;
        // A state that this version does not know does not let the model answer.
        let state =
            if state == ModelState::Serving.name() { ModelState::Serving } else { ModelState::Advisory };
        Ok(Self { state, reason: row.try_get("reason")?, at: row.try_get("at")? })
    }
}

const NEWEST: &str = "SELECT at, state, reason FROM model_states ORDER BY at DESC, state_id DESC LIMIT 1";

/// Later than every other row, also after the database clock was set back.
const INSERT: &str = "
WITH added AS (
    INSERT INTO model_states (state_id, at, actor, state, reason)
    SELECT $1, greatest(clock_timestamp(), (SELECT max(at) + interval '1 microsecond' FROM model_states)),
        coalesce($2, 'database:' || current_user), $3, $4
    RETURNING at, actor, state, reason
), logged AS (
    INSERT INTO operations (operation_id, request_id, actor, action, detail)
    SELECT $1, $5, actor, 'model.state', $6 FROM added RETURNING 1
)
SELECT at, state, reason, (SELECT count(*) FROM logged) AS n_logged FROM added";

impl AnnotationWriter {
    pub async fn model_state(&self) -> Result<Option<StoredState>, StoreError> {
        self.0.run(async |session| sqlx::query_as(NEWEST).fetch_optional(session).await).await
    }

    /// Commits a state with its line in the operations log.
    pub async fn set_model_state(
        &self,
        state: ModelState,
        reason: &Reason,
        operator: &Operator,
    ) -> Result<StoredState, StoreError> {
        let insert = sqlx::query(INSERT)
            .bind(Uuid::now_v7())
            .bind(&operator.actor)
            .bind(state.name())
            .bind(reason.text())
            .bind(&operator.request_id)
            .bind(json!({ "state": state.name(), "reason": reason.text() }));
        self.0
            .run(async |session| {
                let row = insert.fetch_optional(session).await?;
                let Some(row) = row else { return Err(write::lost("model_states")) };
                write::counted("operations", 1, row.try_get::<i64, _>("n_logged")? as u64)?;
                Ok(StoredState::from_row(&row)?)
            })
            .await
    }
}
