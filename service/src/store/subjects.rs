//! The table `subjects`: one key per patient, found by the HMAC of an identifier. Erasure deletes it.

use super::session::Session;
use super::{AnnotationWriter, Lease, StoreError, Writer, write};
use time::OffsetDateTime;

pub type Erasure = ([u8; 32], OffsetDateTime);

const FIND: &str = "SELECT subject_key FROM subjects WHERE lookup = $1";

const MAKE: &str =
    "INSERT INTO subjects (lookup, subject_key) VALUES ($1, $2) ON CONFLICT (lookup) DO NOTHING";

/// A subject that was created after the erasure is a new one.
const ERASE: &str = "
DELETE FROM subjects USING unnest($1::bytea[], $2::timestamptz[]) AS erased (lookup, erased_at)
WHERE subjects.lookup = erased.lookup AND subjects.created_at <= erased.erased_at";

const LEFT: &str = "
SELECT count(*) FROM subjects JOIN unnest($1::bytea[], $2::timestamptz[]) AS erased (lookup, erased_at)
ON subjects.lookup = erased.lookup AND subjects.created_at <= erased.erased_at";

/// A subject may be erased between the insert of its key and the select, but hardly twice.
const TRIES: usize = 3;

async fn find(session: &mut Session, lookup: &[u8; 32]) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar(FIND).bind(lookup).fetch_optional(session).await
}

async fn find_or_make(
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

async fn erase(session: &mut Session, erasures: &[Erasure]) -> Result<u64, StoreError> {
    let (lookups, moments): (Vec<_>, Vec<_>) = erasures.iter().copied().unzip();
    let left = sqlx::query_scalar(LEFT).bind(lookups.clone()).bind(moments.clone());
    let erase = sqlx::query(ERASE).bind(lookups).bind(moments);
    write::delete(session, erasures.len() as u64, "subjects", erase, left).await
}

impl AnnotationWriter {
    /// The key of a known subject. Readers have no right to see these keys.
    pub async fn find_subject(&self, lookup: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.run(async |session| find(session, lookup).await).await
    }
}

impl Writer {
    /// The key of a subject; an unknown subject gets the key `fresh`.
    pub async fn find_or_make_subject(
        &self,
        lookup: &[u8; 32],
        fresh: &[u8; 32],
    ) -> Result<Vec<u8>, StoreError> {
        self.pool.run(async |session| find_or_make(session, lookup, fresh).await).await
    }

    /// Deletes the keys of erased subjects; returns how many there were.
    pub async fn erase_subjects(&self, erasures: &[Erasure]) -> Result<u64, StoreError> {
        self.pool.run(async |session| erase(session, erasures).await).await
    }
}

impl Lease {
    pub async fn erase_subjects(&mut self, erasures: &[Erasure]) -> Result<u64, StoreError> {
        self.run(async |session| erase(session, erasures).await).await
    }
}
