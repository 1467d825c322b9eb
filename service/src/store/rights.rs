//! The rights of the configured database users, for `check-config --connect` and for commands of the owner.

use super::connect::Connector;
use super::schema::{self, SchemaState};
use super::session::Session;
use super::{READERS, StoreError, WRITERS, Writer, pool};
use crate::config::database::{DatabaseConfig, Pooling};
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// `database.url`
    Writer,
    /// `database.reader_url`
    Reader,
    /// `database.direct_url`
    Direct,
}

/// A user's rights; both lists are empty if they are as they should be.
#[derive(Debug)]
pub struct Rights {
    pub user: String,
    /// State of the schema; if it is not current, the rights were not checked.
    pub schema: SchemaState,
    pub lacks: Vec<String>,
    pub exceeds: Vec<String>,
}

type Needs = [(&'static str, &'static [&'static str])];

/// Rights that the writer needs (migrations/ grants them to `cxr_writer`).
const WRITER: &Needs = &[
    ("predictions", &["INSERT"]),
    ("shadow_predictions", &["INSERT"]),
    ("audit_reads", &["INSERT"]),
    ("labels", &["INSERT", "SELECT"]),
    ("audit_pending", &["SELECT", "INSERT", "DELETE"]),
    ("audit_leaves", &["SELECT", "INSERT"]),
    ("audit_hashes", &["SELECT", "INSERT"]),
    ("audit_checkpoints", &["SELECT", "INSERT"]),
    ("idempotency_keys", &["SELECT", "INSERT", "DELETE"]),
    ("subjects", &["SELECT", "INSERT", "DELETE"]),
    ("predictions_months", &["SELECT"]),
    ("monitoring_alarms", &["SELECT"]),
    ("monitoring_streams", &["SELECT"]),
    ("monitoring_baselines", &["SELECT"]),
    ("monitoring_approvals", &["SELECT"]),
    ("monitoring_alarm_events", &["SELECT", "INSERT"]),
    ("operations", &["INSERT"]),
    ("model_states", &["SELECT", "INSERT"]),
];

/// Rights that the reader needs (`cxr_auditor`).
const READER: &Needs = &[
    ("predictions", &["SELECT"]),
    ("labels", &["SELECT"]),
    ("audit_pending", &["SELECT"]),
    ("audit_leaves", &["SELECT"]),
    ("audit_hashes", &["SELECT"]),
    ("audit_checkpoints", &["SELECT"]),
    ("predictions_months", &["SELECT"]),
    ("monitoring_cursor", &["SELECT"]),
    ("monitoring_results", &["SELECT"]),
    ("monitoring_streams", &["SELECT"]),
    ("monitoring_alarm_events", &["SELECT"]),
    ("review_samples", &["SELECT"]),
    ("operations", &["SELECT"]),
];

/// Rights that no user of the service may have.
const NEVER: &Needs = &[
    ("predictions", &["UPDATE", "DELETE", "TRUNCATE"]),
    ("audit_leaves", &["UPDATE", "DELETE", "TRUNCATE"]),
    ("audit_checkpoints", &["UPDATE", "DELETE", "TRUNCATE"]),
];

/// Rights that only the reader must not have: it neither adds rows nor sees the keys of subjects.
const NEVER_AS_READER: &Needs = &[("predictions", &["INSERT"]), ("subjects", &["SELECT"])];

/// Those of the given pairs of right and table that the user has.
const HELD: &str = "
SELECT name || ' ' || wanted FROM unnest($1::text[], $2::text[]) AS asked (wanted, name)
WHERE has_table_privilege(name, wanted)";

/// Logs in as a configured user, with the settings of the service's sessions, and reads its rights.
pub async fn log_in(config: &DatabaseConfig, login: Login) -> Result<Rights, StoreError> {
    let (url, pooling, settings) = match login {
        Login::Writer => (config.url(), config.pooling, &WRITERS),
        Login::Reader => (config.reader_url(), config.pooling, &READERS),
        Login::Direct => (config.direct_url(), Pooling::Session, &WRITERS),
    };
    let connector = Connector::new(&url, pooling, pool::settings(config, settings)).map_err(Arc::new)?;
    let mut session = connector.connect(&[], Instant::now() + pool::timeout(config)).await?;
    session.begin().await?;
    let rights = rights(&mut session, login).await?;
    session.end(true).await?;
    session.close().await;
    Ok(rights)
}

async fn rights(session: &mut Session, login: Login) -> Result<Rights, sqlx::Error> {
    let user: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut *session).await?;
    let schema = schema::state(session).await?;
    let (mut lacks, mut exceeds) = (Vec::new(), Vec::new());
    if matches!(schema, SchemaState::Current { .. }) {
        let needs = if login == Login::Reader { READER } else { WRITER };
        lacks = held(session, needs, false).await?;
        if login == Login::Reader {
            exceeds = held(session, &[NEVER, NEVER_AS_READER].concat(), true).await?;
        } else {
            schema::write_nothing(session).await?;
            exceeds = held(session, NEVER, true).await?;
        }
        if schema::owns_the_log(session).await? {
            exceeds = vec!["change the log's tables: it is their owner, or a superuser".to_owned()];
        }
    }
    Ok(Rights { user, schema, lacks, exceeds })
}

/// `right on table` for each pair that the user has (`has`) or lacks (`!has`).
async fn held(session: &mut Session, asked: &Needs, has: bool) -> Result<Vec<String>, sqlx::Error> {
    let pairs = || asked.iter().flat_map(|(table, rights)| rights.iter().map(|right| (*right, *table)));
    let (rights, tables): (Vec<&str>, Vec<&str>) = pairs().unzip();
    let found: Vec<String> = sqlx::query_scalar(HELD).bind(rights).bind(tables).fetch_all(session).await?;
    let is_held = |right: &str, table: &str| found.iter().any(|held| *held == format!("{table} {right}"));
    let named = pairs().filter(|(right, table)| is_held(right, table) == has);
    Ok(named.map(|(right, table)| format!("{right} on {table}")).collect())
}

impl Writer {
    /// The user of `database.url`, and whether it owns the log's tables.
    pub async fn user(&self) -> Result<(String, bool), StoreError> {
        let ask = async |session: &mut Session| {
            let user = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut *session).await?;
            Ok::<_, sqlx::Error>((user, schema::owns_the_log(session).await?))
        };
        self.pool.run(ask).await
    }
}
