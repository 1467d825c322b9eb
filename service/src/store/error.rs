//! Errors of the database, and what they mean for the caller.

use super::connect::ConnectError;
use super::idempotency;
use sqlx::error::DatabaseError;
use std::borrow::Cow;
use std::sync::Arc;

/// The code of `check_violation`, which a row without a partition has as well.
const NO_PARTITION: &str = "23514";

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection within `service.database.acquire_timeout_ms`; nothing was sent.
    #[error("no database connection")]
    Unavailable(#[from] Arc<ConnectError>),
    /// The statement failed; if the connection broke, it may still have taken effect.
    #[error("the database statement failed")]
    Statement(#[from] sqlx::Error),
    #[error(
        "the database stored {kept} of {written} rows of the table {table}: a trigger or rule discards them"
    )]
    Rows { table: &'static str, written: u64, kept: u64 },
    /// This process's clock differs too much from the database's; nothing was written.
    #[error("{0}: no rows are written")]
    Clock(super::ClockDifference),
    /// No answer within `service.database.statement_timeout_ms`; the statement may still have taken effect.
    #[error("the database did not answer in time")]
    Timeout,
    #[error("migrating failed")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

impl StoreError {
    /// Whether the content of a row caused the error; then no row was committed.
    pub fn blames_a_row(&self) -> bool {
        // SQLSTATE 22: data exception, 23: constraint violation. A value with an encoding error was not sent.
        matches!(self, Self::Statement(sqlx::Error::Encode(_))) || self.has_class(&["22", "23"])
    }

    /// Whether the database reported an error of one of these classes of SQLSTATE.
    fn has_class(&self, classes: &[&str]) -> bool {
        self.code().is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
    }

    fn reported(&self) -> Option<&dyn DatabaseError> {
        let Self::Statement(sqlx::Error::Database(error)) = self else { return None };
        Some(&**error)
    }

    /// The SQLSTATE of an error that the database reported.
    pub(super) fn code(&self) -> Option<Cow<'_, str>> {
        self.reported()?.code()
    }

    /// Whether the database itself reported the error, over a connection that still works.
    pub const fn is_reported(&self) -> bool {
        matches!(self, Self::Statement(sqlx::Error::Database(_)) | Self::Rows { .. })
    }

    /// Whether the connection can be reused.
    pub(super) fn leaves_a_connection(&self) -> bool {
        match self {
            // Classes of SQLSTATE: 08 broken connection, 57P shutdown, XX internal.
            Self::Statement(sqlx::Error::Database(_)) => !self.has_class(&["08", "57P", "XX"]),
            Self::Statement(sqlx::Error::RowNotFound) | Self::Rows { .. } => true,
            _ => false,
        }
    }

    /// Whether the month of a row has no table.
    pub(super) fn lacks_a_month(&self) -> bool {
        self.reported().is_some_and(|error| {
            error.code().as_deref() == Some(NO_PARTITION)
                && error.constraint().is_none()
                && error.table() == Some("predictions")
        })
    }

    /// The error without the database's own message, which may name hosts, users and values.
    pub fn public(&self) -> String {
        match self {
            Self::Unavailable(why) => format!("{self}: {why}"),
            // Raised by `check_write` (migrations/0012), whose messages are public.
            Self::Statement(sqlx::Error::Database(error)) if self.has_class(&["RW"]) => {
                error.message().to_owned()
            }
            _ => self.code().map_or_else(|| self.to_string(), |code| format!("{self} (SQLSTATE {code})")),
        }
    }

    /// Whether a row with this idempotency key exists already.
    pub fn is_duplicate_key(&self) -> bool {
        self.reported().is_some_and(|error| error.constraint() == Some(idempotency::ONCE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_cannot_be_encoded_is_blamed_on_its_row() {
        assert!(StoreError::Statement(sqlx::Error::Encode("too long".into())).blames_a_row());
        assert!(!StoreError::Timeout.blames_a_row());
    }
}
