//! The table `subjects`: a key for each person, found by the keyed digest of an identifier, and taken away by erasure.

use super::session::Session;
use super::{Store, StoreError, write};
use time::OffsetDateTime;

const FIND: &str = "SELECT subject_key FROM subjects WHERE lookup = $1";

const MAKE: &str =
    "INSERT INTO subjects (lookup, subject_key) VALUES ($1, $2) ON CONFLICT (lookup) DO NOTHING";

/// Only what was there at the moment of the erasure: who comes back later is somebody new.
const ERASE: &str = "
DELETE FROM subjects USING unnest($1::bytea[], $2::timestamptz[]) AS erased (lookup, erased_at)
WHERE subjects.lookup = erased.lookup AND subjects.created_at <= erased.erased_at";

const LEFT: &str = "
SELECT count(*) FROM subjects JOIN unnest($1::bytea[], $2::timestamptz[]) AS erased (lookup, erased_at)
ON subjects.lookup = erased.lookup AND subjects.created_at <= erased.erased_at";

/// Somebody may be erased between the making of a key and the look at it, hardly twice.
const TRIES: usize = 3;

/// The key of a subject.
pub(super) async fn find(session: &mut Session, lookup: &[u8; 32]) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar(FIND).bind(lookup).fetch_optional(session).await
}

/// The key of a subject, made from `fresh` where there is none.
pub(super) async fn find_or_make(
    session: &mut Session,
    lookup: &[u8; 32],
    fresh: &[u8; 32],
) -> Result<Vec<u8>, StoreError> {
    for _ in 0..TRIES {
        if let Some(key) = find(session, lookup).await? {
            return Ok(key);
        }
        write::some(&mut *session, sqlx::query(MAKE).bind(lookup).bind(fresh)).await?;
    }
    let found = find(session, lookup).await?;
    found.ok_or(StoreError::Rows { table: "subjects", written: 1, kept: 0 })
}

pub(super) async fn erase(
    session: &mut Session,
    erasures: &[([u8; 32], OffsetDateTime)],
) -> Result<u64, StoreError> {
    let (lookups, moments): (Vec<_>, Vec<_>) = erasures.iter().copied().unzip();
    let left = sqlx::query_scalar(LEFT).bind(lookups.clone()).bind(moments.clone());
    let erase = sqlx::query(ERASE).bind(lookups).bind(moments);
    write::delete(session, erasures.len() as u64, "subjects", erase, left).await
}

impl Store {
    /// The key of a subject, if there is one. As the writer: readers may not see these keys.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_subject(&self, lookup: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        self.clerk.run(async |connection| find(connection, lookup).await).await
    }

    /// The key of a subject, made from `fresh` where there is none.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_or_make_subject(
        &self,
        lookup: &[u8; 32],
        fresh: &[u8; 32],
    ) -> Result<Vec<u8>, StoreError> {
        self.writer.run(async |connection| find_or_make(connection, lookup, fresh).await).await
    }

    /// The database's clock.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn now(&self) -> Result<OffsetDateTime, StoreError> {
        let now = sqlx::query_scalar("SELECT clock_timestamp()");
        self.writer.run(async |connection| now.fetch_one(connection).await).await
    }

    /// Takes the keys of erased subjects away; how many were there.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn erase_subjects(&self, erasures: &[([u8; 32], OffsetDateTime)]) -> Result<u64, StoreError> {
        self.writer.run(async |connection| erase(connection, erasures).await).await
    }
}
