//! The table `audit_reads`: who has looked at the log. One insert, and one for who reads without the service.

use super::session::Session;
use super::{StoreError, write};
use serde_json::Value;
use uuid::Uuid;

/// One look at the log.
#[derive(Debug)]
pub struct Read {
    /// The request.
    pub request_id: String,
    /// Subject of the token.
    pub actor: String,
    /// The route and its filters, without what would name a patient.
    pub query: Value,
    /// How many rows were given, where that is known when the answer begins.
    pub n_rows: Option<u64>,
}

const INSERT: &str =
    "INSERT INTO audit_reads (id, request_id, actor, query, n_rows) VALUES ($1, $2, $3, $4, $5)";

/// The database says who it is: whoever has no right to write into the table can say nothing else of himself.
const NOTE: &str = "SELECT note_read($1, $2, $3)";

/// One statement in its own transaction.
pub(super) async fn insert(session: &mut Session, read: &Read) -> Result<(), StoreError> {
    let insert = sqlx::query(INSERT)
        .bind(Uuid::now_v7())
        .bind(&read.request_id)
        .bind(&read.actor)
        .bind(&read.query)
        .bind(read.n_rows.map(|n| n as i64));
    write::exactly(session, 1, "audit_reads", insert).await
}

/// The same, of the database's user. The function counts its own row.
pub(super) async fn note(
    session: &mut Session,
    query: &Value,
    n_rows: Option<u64>,
) -> Result<(), sqlx::Error> {
    let note = sqlx::query(NOTE).bind(Uuid::now_v7()).bind(query).bind(n_rows.map(|n| n as i64));
    write::command(session, note).await
}
