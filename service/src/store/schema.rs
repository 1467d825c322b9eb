//! Migrations: applies them, and compares the database's with the ones that this program knows.

use super::session::Session;
use super::{PROBE_TIMEOUT, StoreError, Writer, write};
use sqlx::PgConnection;
use sqlx::migrate::{MigrateError, Migrator};
use std::collections::BTreeMap;
use std::sync::Arc;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The code of `undefined_table`.
const UNDEFINED_TABLE: &str = "42P01";

/// State of the migrations. A newer database is current: old code must work with a newer schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    Current {
        version: i64,
    },
    Behind {
        missing: i64,
    },
    /// A migration was applied from a file that differs from the one this program knows.
    Different {
        version: i64,
    },
}

impl std::fmt::Display for SchemaState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Current { version } => write!(f, "the schema is current, at migration {version}"),
            Self::Behind { missing } => {
                write!(f, "migration {missing} is not applied; run cxr-service migrate")
            }
            Self::Different { version } => {
                write!(f, "migration {version} in the database differs from the one in this program")
            }
        }
    }
}

pub(super) async fn state(session: &mut Session) -> Result<SchemaState, sqlx::Error> {
    let query =
        sqlx::query_as::<_, (i64, Vec<u8>)>("SELECT version, checksum FROM _sqlx_migrations WHERE success");
    let applied: BTreeMap<i64, Vec<u8>> = match query.fetch_all(session).await {
        Ok(rows) => rows.into_iter().collect(),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => {
            BTreeMap::new()
        }
        Err(error) => return Err(error),
    };
    for migration in MIGRATIONS.iter() {
        match applied.get(&migration.version) {
            None => return Ok(SchemaState::Behind { missing: migration.version }),
            Some(checksum) if *checksum != *migration.checksum => {
                return Ok(SchemaState::Different { version: migration.version });
            }
            Some(_) => {}
        }
    }
    Ok(SchemaState::Current { version: applied.keys().next_back().copied().unwrap_or(0) })
}

/// Fails if the session cannot write, as on a standby; changes nothing.
pub(super) async fn write_nothing(session: &mut Session) -> Result<(), sqlx::Error> {
    write::command(session, sqlx::query("DELETE FROM audit_pending WHERE false")).await
}

/// Whether this user could change audit rows: the table's owner, a member of that role, or a superuser.
pub(super) async fn owns_the_log(session: &mut Session) -> Result<bool, sqlx::Error> {
    let query = "SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'predictions'::regclass";
    sqlx::query_scalar(query).fetch_one(session).await
}

impl Writer {
    /// State of the schema. Fails if the database is read-only or does not answer within a second.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let probe = async |session: &mut Session| {
            session.verify().await.map_err(Arc::new)?;
            let state = state(session).await?;
            if matches!(state, SchemaState::Current { .. }) {
                write_nothing(session).await?;
            }
            Ok::<_, StoreError>(state)
        };
        self.pool.run_within(PROBE_TIMEOUT, probe).await
    }

    pub async fn owns_the_log(&self) -> Result<bool, StoreError> {
        self.pool.run(async |session| owns_the_log(session).await).await
    }
}

pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), MigrateError> {
    // A migration may take longer than any request, and an operator watches it.
    write::command(&mut *connection, sqlx::query("SET statement_timeout = 0")).await?;
    let mut migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    // A database may be ahead of this program, but the migrations known here must match.
    migrator.set_ignore_missing(true).run(connection).await
}
