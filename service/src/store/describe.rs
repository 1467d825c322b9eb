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

/// The text of an error that Postgres sent. The types of sqlx repeat it in their own text and in their
/// source.
fn postgres_text(error: &(dyn Error + 'static)) -> Option<String> {
    match error.downcast_ref::<MigrateError>() {
        Some(MigrateError::ExecuteMigration(sqlx::Error::Database(refusal), version)) => {
            return Some(format!("migration {version}: {}", text(&**refusal)));
        }
        Some(MigrateError::Execute(sqlx::Error::Database(refusal))) => return Some(text(&**refusal)),
        _ => {}
    }
    match error.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Database(refusal)) => Some(text(&**refusal)),
        _ => None,
    }
}

fn text(refusal: &dyn DatabaseError) -> String {
    let mut text = refusal.message().to_owned();
    let postgres = refusal.try_downcast_ref::<PgDatabaseError>();
    let more = postgres.into_iter().flat_map(|error| [error.detail(), error.hint()]).flatten();
    for more in more {
        text.push_str("; ");
        text.push_str(more);
    }
    if refusal.code().as_deref() == Some(NOT_ALLOWED) {
        text.push_str("; docs/OPERATIONS.md lists the database user for each command");
    }
    text
}
