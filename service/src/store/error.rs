//! Why the database gave no answer, and what that means for whoever asked.

use super::connect::ConnectError;
use super::idempotency;
use std::sync::Arc;

/// The code of `check_violation`, which a row without a partition has as well.
const NO_PARTITION: &str = "23514";

/// Why the database gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection within `service.database.acquire_timeout_ms`: nothing was sent.
    #[error("no database connection")]
    Unavailable(#[from] Arc<ConnectError>),
    /// The statement failed. When the connection broke, it may still have taken effect.
    #[error("the database statement failed")]
    Statement(#[from] sqlx::Error),
    /// The database changed another number of rows than it was told to, without an error.
    #[error(
        "the database stored {kept} of {written} rows of the table {table}: a trigger or rule discards them"
    )]
    Rows {
        /// The table.
        table: &'static str,
        /// Rows that should have changed.
        written: u64,
        /// Rows that did.
        kept: u64,
    },
    /// The row's time, by this process's clock, is far from the database's: nothing was written.
    #[error("{0}: no rows are written")]
    Clock(super::ClockDifference),
    /// No answer within `service.database.statement_timeout_ms`: it may still have taken effect.
    #[error("the database did not answer in time")]
    Timeout,
    /// Migrating failed.
    #[error("migrating failed")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

impl StoreError {
    /// Whether the database refused the statement for what a row holds: then nothing of it was committed.
    pub fn blames_a_row(&self) -> bool {
        // Classes of SQLSTATE: 22 data exception, 23 integrity constraint violation.
        self.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
    }

    /// The SQLSTATE with which the database refused a statement.
    pub(super) fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        let Self::Statement(sqlx::Error::Database(refusal)) = self else { return None };
        refusal.code()
    }

    /// Whether the database answered, and refused: the connection is as good as before.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Statement(sqlx::Error::Database(_)) | Self::Rows { .. })
    }

    /// Whether the connection can be used for something else.
    pub(super) fn leaves_a_connection(&self) -> bool {
        // Classes of SQLSTATE: 08 broken connection, 57P shutdown, XX internal.
        let ended = |code: &str| ["08", "57P", "XX"].iter().any(|class| code.starts_with(class));
        match self {
            Self::Statement(sqlx::Error::Database(error)) => error.code().is_none_or(|code| !ended(&code)),
            Self::Statement(sqlx::Error::RowNotFound) | Self::Rows { .. } => true,
            _ => false,
        }
    }

    /// Whether there is no table for the month of a row.
    pub(super) fn lacks_a_month(&self) -> bool {
        let Self::Statement(sqlx::Error::Database(refusal)) = self else { return false };
        refusal.code().as_deref() == Some(NO_PARTITION)
            && refusal.constraint().is_none()
            && refusal.table() == Some("predictions")
    }

    /// What is wrong, without what the database's own words may name: fit for anybody to read.
    pub fn public(&self) -> String {
        match self {
            Self::Unavailable(why) => format!("{self}: {why}"),
            Self::Statement(sqlx::Error::Database(refusal)) if self.is_of_a_check() => {
                refusal.message().to_owned()
            }
            _ => self.code().map_or_else(|| self.to_string(), |code| format!("{self} (SQLSTATE {code})")),
        }
    }

    /// Whether the refusal is one of `check_write`'s (migrations/0012): its words are ours.
    fn is_of_a_check(&self) -> bool {
        self.code().is_some_and(|code| code.starts_with("RW"))
    }

    /// Whether the database refused a second row under one idempotency key.
    pub fn is_repetition(&self) -> bool {
        let Self::Statement(sqlx::Error::Database(refusal)) = self else { return false };
        refusal.constraint() == Some(idempotency::ONCE)
    }
}
