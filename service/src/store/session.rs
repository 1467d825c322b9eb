//! One connection whose settings are set, read back and verified again before later use.

use super::connect::ConnectError;
use crate::config::database::Pooling;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{
    AssertSqlSafe, Connection, Describe, Either, Execute, Executor, PgConnection, Postgres, Row, SqlStr,
    Transaction,
};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Names and values of settings; each value as Postgres shows it.
pub(super) type Settings = Vec<(&'static str, String)>;

/// A variable with a random value that identifies the session: a pooler that shares sessions mixes them up.
const MARK: &str = "cxr.session";

#[derive(Debug)]
pub(super) struct Session {
    connection: PgConnection,
    pooling: Pooling,
    /// SQL that begins a transaction with the settings; empty if the session keeps them.
    begin: String,
    /// Settings that [`verify`](Self::verify) must find.
    expected: Settings,
    pub(super) since: Instant,
    pub(super) writable: bool,
}

impl Session {
    /// Connects, applies the settings and reads them back.
    pub(super) async fn open(
        options: &PgConnectOptions,
        pooling: Pooling,
        settings: &Settings,
    ) -> Result<Self, ConnectError> {
        let mut connection = PgConnection::connect_with(options).await?;
        let mut expected = settings.clone();
        let (set, begin) = match pooling {
            Pooling::Session => {
                expected.push((MARK, Uuid::new_v4().to_string()));
                (assignments("SET", &expected), String::new())
            }
            Pooling::Transaction => {
                (String::new(), format!("BEGIN; {}", assignments("SET LOCAL", &expected)))
            }
        };
        let end = if begin.is_empty() { "" } else { "; COMMIT" };
        let look =
            "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS writable";
        let asked = format!("{set}{begin}{look}{end}");
        let row = sqlx::raw_sql(AssertSqlSafe(asked)).fetch_one(&mut connection).await?;
        let writable = row.try_get("writable")?;
        let since = Instant::now();
        let mut session = Self { connection, pooling, begin, expected, since, writable };
        session.verify().await?;
        Ok(session)
    }

    /// Fails unless this is still the same session and its settings are in effect.
    pub(super) async fn verify(&mut self) -> Result<(), ConnectError> {
        let column = |(name, _): &(_, _)| format!("coalesce(current_setting('{name}', true), '')");
        let columns: Vec<String> = self.expected.iter().map(column).collect();
        let end = if self.begin.is_empty() { "" } else { "; COMMIT" };
        let asked = format!("{}SELECT {}{end}", self.begin, columns.join(", "));
        let row = sqlx::raw_sql(AssertSqlSafe(asked)).fetch_one(&mut self.connection).await?;
        // The mark comes last and is checked first: in a shared session, other settings may differ as well.
        for (column, (name, expected)) in self.expected.iter().enumerate().rev() {
            let found: String = row.try_get(column)?;
            if *name == MARK && found != *expected {
                return Err(ConnectError::Shared);
            }
            if found != *expected {
                return Err(ConnectError::Setting { name, expected: expected.clone(), found });
            }
        }
        Ok(())
    }

    /// Fails unless a second connection is a second session; a pooler in transaction mode gives none.
    pub(super) async fn is_one_of_its_own(&mut self, options: &PgConnectOptions) -> Result<(), ConnectError> {
        if self.pooling == Pooling::Transaction {
            return Ok(());
        }
        let mut witness = PgConnection::connect_with(options).await?;
        let mark = format!("SET {MARK} = 'witness'");
        sqlx::raw_sql(AssertSqlSafe(mark)).fetch_all(&mut witness).await?;
        let verified = self.verify().await;
        drop(witness.close().await);
        verified
    }

    /// Begins a unit of work for [`end`](Self::end): a transaction if a pooler shares sessions, else nothing.
    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        if self.pooling == Pooling::Session {
            return Ok(());
        }
        let begin = AssertSqlSafe(self.begin.clone());
        sqlx::raw_sql(begin).fetch_all(&mut self.connection).await.map(drop)
    }

    /// Commits the unit of work or rolls it back.
    pub(super) async fn end(&mut self, commit: bool) -> Result<(), sqlx::Error> {
        if self.pooling == Pooling::Session {
            return Ok(());
        }
        let end = if commit { "COMMIT" } else { "ROLLBACK" };
        sqlx::raw_sql(end).fetch_all(&mut self.connection).await.map(drop)
    }

    /// Begins a transaction. Only for connections outside the pools: a pool has begun one already.
    pub(super) async fn transaction(&mut self) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
        match self.pooling {
            Pooling::Session => self.connection.begin().await,
            Pooling::Transaction => self.connection.begin_with(AssertSqlSafe(self.begin.clone())).await,
        }
    }

    /// The connection, for sqlx's migrations.
    pub(super) const fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    pub(super) async fn close(self) {
        drop(self.connection.close().await);
    }
}

/// SQL that assigns settings. Nothing is quoted: names and values come from this program.
fn assignments(set: &str, settings: &Settings) -> String {
    let each = settings.iter().map(|(name, value)| format!("{set} {name} = '{value}'; "));
    each.collect::<Vec<_>>().concat()
}

/// A duration as Postgres shows it: in the largest unit that divides it.
pub(super) fn shown(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)];
    match units.into_iter().find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", ms / unit),
        None if ms == 0 => "0".to_owned(),
        None => format!("{ms}ms"),
    }
}

/// Prepares a statement under a name only if the session is not shared: other sessions do not know it.
impl<'c> Executor<'c> for &'c mut Session {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let named = self.pooling == Pooling::Session;
        self.connection.fetch_many(Sent { query, named })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let named = self.pooling == Pooling::Session;
        self.connection.fetch_optional(Sent { query, named })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.connection.describe(sql)
    }
}

struct Sent<E> {
    query: E,
    named: bool,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Sent<E> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.named && self.query.persistent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_postgres_shows_them() {
        let written = |ms| shown(Duration::from_millis(ms));
        assert_eq!(
            [0, 1, 1500, 5000, 60_000, 90_000].map(written),
            ["0", "1ms", "1500ms", "5s", "1min", "90s"]
        );
        assert_eq!([3_600_000, 86_400_000, 90_000_000].map(written), ["1h", "1d", "25h"]);
    }
}
