//! The Postgres store, with the trainer's only SQL: one row per study and one per trial, in a schema of its
//! own.
//!
//! Successive halving decides from all trials, so an edit locks the study's row rather than one trial. A live
//! worker holds an advisory lock, which Postgres releases when the connection ends. A stalled worker is given
//! up when its lease expires by Postgres' clock. Postgres ends the session of a worker that stalls within an
//! edit, and the worker retries when it wakes up.

use super::scheduler::Liveness;
use super::store::{Edit, Store};
use super::study::{BeginOutcome, Definition, Study, Trial};
use crate::progress::say;
use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// How long an unreachable store is retried, and how often.
const RETRY_LIMIT: Duration = Duration::from_mins(5);
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// A process that pauses for longer between two statements of an edit is stalled.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "5s";
/// Serialises creation of the tables: concurrent `create ... if not exists` statements may fail.
const SCHEMA_LOCK: i64 = 0x6378_725f_7475_6e65;

const SCHEMA: [&str; 3] = [
    "create schema if not exists cxr_tune",
    "create table if not exists cxr_tune.study (
        name text primary key,
        definition jsonb not null,
        created timestamptz not null default clock_timestamp())",
    "create table if not exists cxr_tune.trial (
        study text not null references cxr_tune.study,
        number bigint not null,
        state text not null,
        generation bigint not null,
        worker text,
        document jsonb not null,
        changed timestamptz not null default clock_timestamp(),
        primary key (study, number))",
];

pub struct PostgresStore {
    options: PgConnectOptions,
    study: String,
    // Every connection holds the advisory lock of this worker.
    worker: Option<String>,
    // Dropped before the runtime, because fields are dropped in order.
    connection: Option<PgConnection>,
    runtime: Runtime,
}

impl PostgresStore {
    /// Connects and creates missing tables. The URL may hold a password, so no error shows it.
    pub fn open(url: &str, study: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url).context("--store: not a Postgres URL")?;
        let options = options.options([("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT)]);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connection = runtime
            .block_on(async {
                let mut connection = PgConnection::connect_with(&options).await?;
                let mut transaction = connection.begin().await?;
                let lock = sqlx::query("select pg_advisory_xact_lock($1)").bind(SCHEMA_LOCK);
                lock.execute(&mut *transaction).await?;
                for statement in SCHEMA {
                    sqlx::query(statement).execute(&mut *transaction).await?;
                }
                transaction.commit().await?;
                Ok::<_, sqlx::Error>(connection)
            })
            .context("--store: cannot open the Postgres store")?;
        Ok(Self { options, study: study.to_owned(), worker: None, connection: Some(connection), runtime })
    }

    /// Runs `work` on a connection, and again on a new one if the connection broke.
    fn with_retry<T>(
        &mut self,
        mut work: impl AsyncFnMut(&mut PgConnection, &str) -> Result<T>,
    ) -> Result<T> {
        let Self { options, study, worker, connection, runtime } = self;
        let start = Instant::now();
        loop {
            let attempt = runtime.block_on(async {
                let mut open = match connection.take() {
                    Some(open) => open,
                    None => connect(options, worker.as_deref()).await?,
                };
                let result = work(&mut open, study).await;
                *connection = Some(open);
                result
            });
            match attempt {
                Err(error) if is_broken(&error) && start.elapsed() < RETRY_LIMIT => {
                    *connection = None;
                    say(format!("cannot reach the study's store, retrying: {error:#}"));
                    std::thread::sleep(RETRY_INTERVAL);
                }
                other => return other,
            }
        }
    }
}

impl Store for PostgresStore {
    fn begin(&mut self, definition: &Definition) -> Result<BeginOutcome> {
        let document = serde_json::to_value(definition)?;
        self.with_retry(async |connection, name| {
            let mut transaction = connection.begin().await?;
            let insert =
                "insert into cxr_tune.study (name, definition) values ($1, $2) on conflict do nothing";
            sqlx::query(insert).bind(name).bind(&document).execute(&mut *transaction).await?;
            let study = read_for_update(&mut transaction, name).await?;
            let outcome =
                study.begin(definition).with_context(|| format!("the study {name:?} in Postgres"))?;
            if outcome == BeginOutcome::Reset {
                let delete = "delete from cxr_tune.trial where study = $1";
                sqlx::query(delete).bind(name).execute(&mut *transaction).await?;
                let update = "update cxr_tune.study set definition = $2 where name = $1";
                sqlx::query(update).bind(name).bind(&document).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(outcome)
        })
    }

    fn edit(&mut self, edit: &mut Edit) -> Result<()> {
        self.with_retry(async |connection, name| {
            let mut transaction = connection.begin().await?;
            let mut study = read_for_update(&mut transaction, name).await?;
            let liveness = liveness(&mut transaction, &study).await?;
            let before = study.clone();
            edit(&mut study, &liveness)?;
            for trial in study.trials.iter().filter(|trial| before.trials.get(trial.number) != Some(trial)) {
                write(&mut transaction, name, trial).await?;
            }
            Ok(transaction.commit().await?)
        })
    }

    fn load(&mut self) -> Result<Option<Study>> {
        self.with_retry(async |connection, name| read(connection, name).await)
    }

    fn mark_alive(&mut self, worker: &str) -> Result<()> {
        self.worker = Some(worker.to_owned());
        self.with_retry(async |connection, _| mark_alive(connection, worker).await)
    }
}

async fn connect(options: &PgConnectOptions, worker: Option<&str>) -> Result<PgConnection> {
    let mut connection = PgConnection::connect_with(options).await?;
    if let Some(worker) = worker {
        mark_alive(&mut connection, worker).await?;
    }
    Ok(connection)
}

/// Shared, because a worker opens several connections.
async fn mark_alive(connection: &mut PgConnection, worker: &str) -> Result<()> {
    let lock = sqlx::query("select pg_advisory_lock_shared(hashtextextended($1, 0))").bind(worker);
    Ok(lock.execute(connection).await.map(drop)?)
}

/// Whether a new connection may help.
fn is_broken(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_)) => true,
        // Class 57: the server stops, starts or ended this session. Class 40: the transaction may be
        // repeated. 25P03: this process stalled within a transaction.
        Some(sqlx::Error::Database(error)) => error
            .code()
            .is_some_and(|code| ["57", "40", "08", "25P03"].iter().any(|class| code.starts_with(class))),
        _ => false,
    }
}

/// Locks the study's row until the transaction ends.
async fn read_for_update(connection: &mut PgConnection, name: &str) -> Result<Study> {
    let lock = sqlx::query("select from cxr_tune.study where name = $1 for update").bind(name);
    lock.execute(&mut *connection).await?;
    read(connection, name).await?.with_context(|| format!("the study {name:?} is missing in Postgres"))
}

async fn read(connection: &mut PgConnection, name: &str) -> Result<Option<Study>> {
    let select = sqlx::query_scalar("select definition from cxr_tune.study where name = $1").bind(name);
    let definition: Option<Value> = select.fetch_optional(&mut *connection).await?;
    let Some(definition) = definition else { return Ok(None) };
    let select = sqlx::query_scalar("select document from cxr_tune.trial where study = $1 order by number");
    let documents: Vec<Value> = select.bind(name).fetch_all(connection).await?;
    let trials = documents.into_iter().map(serde_json::from_value).collect::<Result<Vec<Trial>, _>>()?;
    Ok(Some(Study { definition: serde_json::from_value(definition)?, trials }))
}

async fn liveness(connection: &mut PgConnection, study: &Study) -> Result<Liveness> {
    let clock = sqlx::query_scalar("select extract(epoch from clock_timestamp())::float8");
    let now = clock.fetch_one(&mut *connection).await?;
    let mut dead_workers = BTreeSet::new();
    for claim in study.claims() {
        let lock = sqlx::query_scalar("select pg_try_advisory_xact_lock(hashtextextended($1, 0))");
        if lock.bind(&claim.worker).fetch_one(&mut *connection).await? {
            dead_workers.insert(claim.worker.clone());
        }
    }
    Ok(Liveness { now, dead_workers })
}

async fn write(connection: &mut PgConnection, study: &str, trial: &Trial) -> Result<()> {
    let document = serde_json::to_value(trial)?;
    let state = document["state"].as_str().unwrap_or_default().to_owned();
    sqlx::query(
        "insert into cxr_tune.trial (study, number, state, generation, worker, document)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (study, number) do update set state = excluded.state, generation = excluded.generation,
             worker = excluded.worker, document = excluded.document, changed = clock_timestamp()",
    )
    .bind(study)
    .bind(trial.number as i64)
    .bind(state)
    .bind(trial.generation as i64)
    .bind(trial.claim.as_ref().map(|claim| claim.worker.as_str()))
    .bind(document)
    .execute(connection)
    .await?;
    Ok(())
}
