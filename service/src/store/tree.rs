//! The tables of the tree: `audit_pending`, `audit_leaves`, `audit_hashes`, `audit_checkpoints`.

use super::leader::Grown;
use super::session::Session;
use super::{StoreError, write};
use crate::record::Digests;
use crate::record::hmac::SiteKey;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use tlog_tiles::Hash;
use uuid::Uuid;

/// Held by the one process that moves pending leaves into the tree, as long as its connection lasts.
const SEQUENCER_LOCK: i64 = 0x6378_725f_7472_6565;

/// A leaf that waits, or has its place.
#[derive(Debug, Clone, Copy)]
pub struct Leaf {
    /// The row.
    pub prediction_id: Uuid,
    /// What of it is in the tree.
    pub digests: Digests,
}

/// A leaf as its table has it.
#[derive(Debug, Clone)]
pub struct StoredLeaf {
    /// The leaf.
    pub leaf: Leaf,
    /// While it waits: what the service adds to its own.
    code: Option<Vec<u8>>,
    waits: bool,
}

impl StoredLeaf {
    /// Whether it is in the tree.
    pub const fn has_place(&self) -> bool {
        !self.waits
    }

    /// Whether a holder of this key wrote it, as it is and for its row.
    pub fn is_ours(&self, leaf_key: &SiteKey) -> bool {
        let Leaf { prediction_id, digests } = &self.leaf;
        let code = self.code.as_deref();
        digests.bind(*prediction_id)
            && code.is_some_and(|code| leaf_key.is_digest(&digests.leaf_hash.0, code))
    }
}

impl FromRow<'_, PgRow> for StoredLeaf {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let row_hash: Option<[u8; 32]> = row.try_get("row_hash")?;
        let digests = Digests { row_hash: row_hash.map(Hash), leaf_hash: Hash(row.try_get("leaf_hash")?) };
        let leaf = Leaf { prediction_id: row.try_get("prediction_id")?, digests };
        Ok(Self { leaf, code: row.try_get("code")?, waits: row.try_get("waits")? })
    }
}

/// A signed head of the tree.
#[derive(Debug, Clone)]
pub struct SignedHead {
    /// Leaves.
    pub size: u64,
    /// Root.
    pub root: Hash,
    /// The note.
    pub note: String,
}

/// Whether this session is now the one that sequences. It stays so until its connection ends.
pub(super) async fn lead(session: &mut Session) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(SEQUENCER_LOCK).fetch_one(session).await
}

/// Number of leaves in the tree.
pub(super) async fn size(session: &mut Session) -> Result<u64, sqlx::Error> {
    let size: i64 = sqlx::query_scalar("SELECT coalesce(max(leaf_index) + 1, 0) FROM audit_leaves")
        .fetch_one(session)
        .await?;
    Ok(size as u64)
}

/// Hashes at positions, of those that exist.
pub(super) async fn hashes(
    session: &mut Session,
    positions: &[u64],
) -> Result<Vec<(u64, Hash)>, sqlx::Error> {
    let positions: Vec<i64> = positions.iter().map(|position| *position as i64).collect();
    let rows: Vec<(i64, [u8; 32])> =
        sqlx::query_as("SELECT position, hash FROM audit_hashes WHERE position = ANY($1)")
            .bind(positions)
            .fetch_all(session)
            .await?;
    Ok(rows.into_iter().map(|(position, hash)| (position as u64, Hash(hash))).collect())
}

/// The leaf of a row, whether it waits or has its place; one statement, so that it is never seen between the two.
pub(super) async fn leaf(session: &mut Session, id: Uuid) -> Result<Option<StoredLeaf>, sqlx::Error> {
    let query = "SELECT prediction_id, leaf_hash, row_hash, NULL::bytea AS code, false AS waits
            FROM audit_leaves WHERE prediction_id = $1
        UNION ALL SELECT prediction_id, leaf_hash, row_hash, code, true
            FROM audit_pending WHERE prediction_id = $1";
    sqlx::query_as(query).bind(id).fetch_optional(session).await
}

/// The newest head, or the one of a size.
pub(super) async fn head(
    session: &mut Session,
    size: Option<u64>,
) -> Result<Option<SignedHead>, sqlx::Error> {
    let row: Option<(i64, [u8; 32], String)> = sqlx::query_as(
        "SELECT tree_size, root_hash, note FROM audit_checkpoints
         WHERE tree_size = coalesce($1, tree_size) ORDER BY tree_size DESC LIMIT 1",
    )
    .bind(size.map(|size| size as i64))
    .fetch_optional(session)
    .await?;
    Ok(row.map(|(size, root, note)| SignedHead { size: size as u64, root: Hash(root), note }))
}

/// The place of a row in the tree; none while it waits.
pub(super) async fn place(
    session: &mut Session,
    prediction_id: Uuid,
) -> Result<Option<(u64, Hash)>, sqlx::Error> {
    let row: Option<(i64, [u8; 32])> =
        sqlx::query_as("SELECT leaf_index, leaf_hash FROM audit_leaves WHERE prediction_id = $1")
            .bind(prediction_id)
            .fetch_optional(session)
            .await?;
    Ok(row.map(|(index, hash)| (index as u64, Hash(hash))))
}

/// What a step of the sequencer did.
#[derive(Debug)]
pub struct Sequenced {
    /// Leaves that were looked at.
    pub n_seen: usize,
    /// The oldest of those that got their places, and the head afterwards.
    pub grown: Option<(Uuid, SignedHead)>,
    /// Waiting leaves that nobody may have put there: they stay where they are.
    pub foreign: Vec<Uuid>,
}

/// Looks at up to `limit` waiting leaves beside those in `left_alone`, and gives those their places that are `ours`, in one
/// transaction: `grow` turns them into what is added. Leaves of a transaction that commits later wait for a later step; none is taken
/// twice.
pub(super) async fn sequence(
    session: &mut Session,
    limit: usize,
    left_alone: &[Uuid],
    ours: impl Fn(&StoredLeaf) -> bool,
    grow: impl FnOnce(&[Leaf]) -> Result<Grown, String>,
) -> Result<Sequenced, StoreError> {
    let mut transaction = session.transaction().await?;
    let waiting: Vec<StoredLeaf> = sqlx::query_as(
        "SELECT prediction_id, leaf_hash, row_hash, code, true AS waits FROM audit_pending
         WHERE prediction_id <> ALL ($2) ORDER BY prediction_id LIMIT $1",
    )
    .bind(limit as i64)
    .bind(left_alone)
    .fetch_all(&mut *transaction)
    .await?;
    let n_seen = waiting.len();
    let (ours, foreign): (Vec<_>, Vec<_>) = waiting.into_iter().partition(ours);
    let foreign = foreign.into_iter().map(|stored| stored.leaf.prediction_id).collect();
    let leaves: Vec<Leaf> = ours.into_iter().map(|stored| stored.leaf).collect();
    let Some(oldest) = leaves.first().map(|leaf| leaf.prediction_id) else {
        transaction.rollback().await?;
        return Ok(Sequenced { n_seen, grown: None, foreign });
    };
    let taken = sqlx::query("DELETE FROM audit_pending WHERE prediction_id = ANY ($1)")
        .bind(leaves.iter().map(|leaf| leaf.prediction_id).collect::<Vec<_>>());
    write::exactly(&mut *transaction, leaves.len() as u64, "audit_pending", taken).await?;
    let (first_index, hashes, head) = grow(&leaves).map_err(|error| sqlx::Error::Encode(error.into()))?;
    insert(&mut transaction, first_index, &leaves, &hashes, &head).await?;
    transaction.commit().await?;
    Ok(Sequenced { n_seen, grown: Some((oldest, head)), foreign })
}

async fn insert(
    connection: &mut PgConnection,
    first_index: u64,
    leaves: &[Leaf],
    hashes: &[(u64, Hash)],
    head: &SignedHead,
) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO audit_leaves (leaf_index, prediction_id, leaf_hash, row_hash)
         SELECT $1 + place - 1, id, hash, row_hash
         FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) WITH ORDINALITY AS leaf (id, hash, row_hash, place)",
    )
    .bind(first_index as i64)
    .bind(leaves.iter().map(|leaf| leaf.prediction_id).collect::<Vec<_>>())
    .bind(leaves.iter().map(|leaf| leaf.digests.leaf_hash.0).collect::<Vec<_>>())
    .bind(leaves.iter().map(|leaf| leaf.digests.row_hash.map(|hash| hash.0)).collect::<Vec<_>>());
    write::exactly(&mut *connection, leaves.len() as u64, "audit_leaves", insert).await?;
    let insert = sqlx::query(
        "INSERT INTO audit_hashes (position, hash) SELECT * FROM unnest($1::bigint[], $2::bytea[])",
    )
    .bind(hashes.iter().map(|(position, _)| *position as i64).collect::<Vec<_>>())
    .bind(hashes.iter().map(|(_, hash)| hash.0).collect::<Vec<_>>());
    write::exactly(&mut *connection, hashes.len() as u64, "audit_hashes", insert).await?;
    let insert =
        sqlx::query("INSERT INTO audit_checkpoints (tree_size, root_hash, note) VALUES ($1, $2, $3)")
            .bind(head.size as i64)
            .bind(head.root.0)
            .bind(&head.note);
    write::exactly(connection, 1, "audit_checkpoints", insert).await
}
