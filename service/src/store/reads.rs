//! The table `audit_reads`: who read audit rows, and which.

use super::{AnnotationWriter, StoreError, Writer, write};
use serde_json::Value;
use uuid::Uuid;

#[derive(Debug)]
pub struct Read {
    pub request_id: String,
    pub actor: String,
    /// The route and its filters, without anything that names a patient.
    pub query: Value,
    /// Rows returned; none for a stream, whose length is unknown when the answer begins.
    pub n_rows: Option<u64>,
}

const INSERT: &str =
    "INSERT INTO audit_reads (id, request_id, actor, query, n_rows) VALUES ($1, $2, $3, $4, $5)";

/// The function records `current_user`: a user without the right to insert cannot claim to be another one.
const RECORD_AS_DATABASE_USER: &str = "SELECT note_read($1, $2, $3)";

impl AnnotationWriter {
    /// Commits that a client reads the log. After an error the client must not get the rows.
    pub async fn record_read(&self, read: &Read) -> Result<(), StoreError> {
        let insert = sqlx::query(INSERT)
            .bind(Uuid::now_v7())
            .bind(&read.request_id)
            .bind(&read.actor)
            .bind(&read.query)
            .bind(read.n_rows.map(|n| n as i64));
        self.0.run(async |session| write::exactly(session, 1, "audit_reads", insert).await).await
    }
}

impl Writer {
    /// Commits that the user of `database.url` reads the log directly. After an error no row may be shown.
    pub async fn record_own_read(&self, query: &Value, n_rows: Option<u64>) -> Result<(), StoreError> {
        let record = sqlx::query(RECORD_AS_DATABASE_USER)
            .bind(Uuid::now_v7())
            .bind(query)
            .bind(n_rows.map(|n| n as i64));
        // The function counts its own row.
        self.pool.run(async |session| write::command(session, record).await).await
    }
}
