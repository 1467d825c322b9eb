//! The database users: whether each can log in and has the rights it needs and no more.

use super::problem;
use crate::config::database::DatabaseConfig;
use crate::config::error::Misconfiguration;
use crate::store::{Login, Rights, SchemaState, StoreError, log_in};

pub(super) async fn logins(config: &DatabaseConfig) -> Vec<Misconfiguration> {
    let writer = log_in(config, Login::Writer).await;
    let mut problems = judged("database.url", Login::Writer, config.refuse_owner, writer);
    if !problems.is_empty() && !config.has_reader() {
        return problems;
    }
    let key = if config.has_reader() { "database.reader_url" } else { "database.url" };
    // A single user for both may write.
    let strict = config.refuse_owner && config.has_reader();
    problems.extend(judged(key, Login::Reader, strict, log_in(config, Login::Reader).await));
    if config.has_direct() {
        let direct = log_in(config, Login::Direct).await;
        problems.extend(judged("database.direct_url", Login::Direct, config.refuse_owner, direct));
    }
    problems
}

fn judged(key: &str, login: Login, strict: bool, found: Result<Rights, StoreError>) -> Vec<Misconfiguration> {
    let (role, other) = match login {
        Login::Writer | Login::Direct => ("cxr_writer", ""),
        Login::Reader => ("cxr_auditor", ", or set a user with that role in database.reader_url"),
    };
    let Rights { user, schema, lacks, exceeds } = match found {
        Ok(rights) => rights,
        Err(error) if error.is_reported() => {
            return vec![problem(key, &error, &format!("GRANT {role} TO this user{other}"))];
        }
        Err(error) => {
            let advice = "check host, database, user and password, and that pg_hba.conf admits this host";
            return vec![problem(key, &error, advice)];
        }
    };
    if !matches!(schema, SchemaState::Current { .. }) {
        let advice = "run cxr-service migrate of this version as the database's owner";
        return vec![Misconfiguration::new(key, &schema.to_string(), advice)];
    }
    let mut problems = Vec::new();
    if !lacks.is_empty() {
        let found = format!("the user {user} may not {}", lacks.join(", "));
        let advice = format!("GRANT {role} TO {user}{other}");
        problems.push(Misconfiguration::new(key, &found, &advice));
    }
    if strict && !exceeds.is_empty() {
        let found = format!("the user {user} may {}", exceeds.join(", "));
        let advice = format!("use a user with only the role {role} (docs/OPERATIONS.md)");
        problems.push(Misconfiguration::new(key, &found, &advice));
    }
    problems
}
