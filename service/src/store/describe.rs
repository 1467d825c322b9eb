//! Errors as text for an operator: an error of Postgres with its message, detail and hint, each once.

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;
use std::error::Error;

/// SQLSTATE of `insufficient_privilege`.
const NOT_ALLOWED: &str = "42501";

/// An error with all its causes.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let (mut texts, mut next) = (Vec::new(), Some(error));
    while let Some(error) = next {
        if let Some(text) = postgres_text(error) {
            texts.push(text);
            break;
        }
        texts.push(error.to_string());
        next = error.source();
    }
    texts.join(": ")
}

/// The text of an error that Postgres sent; the types of sqlx repeat it in their text and their source.
fn postgres_text(error: &(dyn Error + 'static)) -> Option<String> {
    let (error, prefix) = match error.downcast_ref::<MigrateError>() {
        Some(MigrateError::ExecuteMigration(error, version)) => (error, format!("migration {version}: ")),
        Some(MigrateError::Execute(error)) => (error, String::new()),
        _ => (error.downcast_ref::<sqlx::Error>()?, String::new()),
    };
    let sqlx::Error::Database(error) = error else { return None };
    Some(prefix + &text(&**error))
}

fn text(error: &dyn DatabaseError) -> String {
    let postgres = error.try_downcast_ref::<PgDatabaseError>();
    let more = postgres.into_iter().flat_map(|error| [error.detail(), error.hint()]).flatten();
    let advice = "docs/OPERATIONS.md lists the database user for each command";
    let advice = (error.code().as_deref() == Some(NOT_ALLOWED)).then_some(advice);
    std::iter::once(error.message()).chain(more).chain(advice).collect::<Vec<_>>().join("; ")
}
