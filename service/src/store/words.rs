//! Errors in words for a person: of what Postgres says its message, detail and hint, each once, and nothing of its source code.

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;
use std::error::Error;

/// SQLSTATE of `insufficient_privilege`.
const NOT_ALLOWED: &str = "42501";

/// An error with all its causes.
pub fn told(error: &(dyn Error + 'static)) -> String {
    let (mut told, mut next) = (Vec::new(), Some(error));
    while let Some(error) = next {
        if let Some(words) = words_of_postgres(error) {
            told.push(words);
            break;
        }
        told.push(error.to_string());
        next = error.source();
    }
    told.join(": ")
}

/// What Postgres says itself; its error types show themselves and their source in one text.
fn words_of_postgres(error: &(dyn Error + 'static)) -> Option<String> {
    match error.downcast_ref::<MigrateError>() {
        Some(MigrateError::ExecuteMigration(sqlx::Error::Database(refusal), version)) => {
            return Some(format!("migration {version}: {}", words(&**refusal)));
        }
        Some(MigrateError::Execute(sqlx::Error::Database(refusal))) => return Some(words(&**refusal)),
        _ => {}
    }
    match error.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Database(refusal)) => Some(words(&**refusal)),
        _ => None,
    }
}

fn words(refusal: &dyn DatabaseError) -> String {
    let mut words = refusal.message().to_owned();
    let postgres = refusal.try_downcast_ref::<PgDatabaseError>();
    let more = postgres.into_iter().flat_map(|error| [error.detail(), error.hint()]).flatten();
    for more in more {
        words.push_str("; ");
        words.push_str(more);
    }
    if refusal.code().as_deref() == Some(NOT_ALLOWED) {
        words.push_str("; docs/OPERATIONS.md lists the database user for each command");
    }
    words
}
