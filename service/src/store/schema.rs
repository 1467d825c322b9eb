//! Migrations: applying them, and telling whether the database has those that this program knows.

use super::session::Session;
use super::write;
use sqlx::PgConnection;
use sqlx::migrate::{MigrateError, Migrator};
use std::collections::BTreeMap;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The code of `undefined_table`.
const UNDEFINED_TABLE: &str = "42P01";

/// What the database holds, compared with what this program knows. A newer database is current: old code must
/// survive new schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// Every known migration is applied.
    Current {
        /// The newest applied migration.
        version: i64,
    },
    /// A known migration is not applied.
    Behind {
        /// The first one missing.
        missing: i64,
    },
    /// A migration was applied from a file that differs from the one this program knows.
    Different {
        /// Its version.
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
                write!(
                    f,
                    "migration {version} in the database is not this program's: they do not belong together"
                )
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

/// Fails where nothing can be written, as on a standby; writes nothing.
pub(super) async fn write_nothing(session: &mut Session) -> Result<(), sqlx::Error> {
    write::command(session, sqlx::query("DELETE FROM audit_pending WHERE false")).await
}

/// Whether this user could change the table of the log: its owner, a member of that role, or a superuser.
pub(super) async fn owns_the_log(session: &mut Session) -> Result<bool, sqlx::Error> {
    let query = "SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'predictions'::regclass";
    sqlx::query_scalar(query).fetch_one(session).await
}

pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), MigrateError> {
    // A migration may take longer than any request; it is the operator who watches it.
    write::command(&mut *connection, sqlx::query("SET statement_timeout = 0")).await?;
    let mut migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    // A database that is ahead of this program is fine; what this program knows must still match.
    migrator.set_ignore_missing(true).run(connection).await
}
