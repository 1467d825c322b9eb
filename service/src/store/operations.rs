//! The table `operations`: what operators did. Each row is written by the statement that does it.

use super::{Reader, StoreError};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// Who operates, and in which request.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The `sub` of the token; `None` for a command, which is recorded as the database user.
    pub actor: Option<String>,
    pub request_id: String,
}

impl Operator {
    /// A command on the command line.
    pub fn command() -> Self {
        Self { actor: None, request_id: Uuid::now_v7().to_string() }
    }
}

/// Why an operator acts. It is kept for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// What a reason must be.
    pub const RULE: &str = "the reason must be one line of 1 to 1000 characters";

    /// Without the space around it; `None` if it breaks the rule.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.chars().count() <= 1000 && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// A row of `operations` (migrations/0014_monitoring.sql).
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct StoredOperation {
    pub operation_id: Uuid,
    pub at: OffsetDateTime,
    pub request_id: String,
    pub actor: String,
    pub action: String,
    pub detail: Value,
}

const PAGE: &str = "
SELECT operation_id, at, request_id, actor, action, detail FROM operations
WHERE $1 IS NULL OR (at, operation_id) < (SELECT at, operation_id FROM operations WHERE operation_id = $1)
ORDER BY at DESC, operation_id DESC LIMIT $2";

impl Reader {
    /// The newest first, after the operation `after`.
    pub async fn operations(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<StoredOperation>, StoreError> {
        let page = sqlx::query_as(PAGE).bind(after).bind(limit as i64);
        self.0.run(async |session| page.fetch_all(session).await).await
    }
}
