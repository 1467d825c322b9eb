//! The tables of the tree: `audit_pending`, `audit_leaves`, `audit_hashes`, `audit_checkpoints`.

use super::session::Session;
use super::{Lease, Reader, StoreError, write};
use crate::record::Digests;
use crate::record::hmac::SiteKey;
use crate::record::tree::{Edge, Hashes};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use tlog_tiles::Hash;
use uuid::Uuid;

/// A leaf, pending or in the tree.
#[derive(Debug, Clone, Copy)]
pub struct Leaf {
    pub prediction_id: Uuid,
    pub digests: Digests,
}

impl FromRow<'_, PgRow> for Leaf {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let row_hash: Option<[u8; 32]> = row.try_get("row_hash")?;
        let digests = Digests { row_hash: row_hash.map(Hash), leaf_hash: Hash(row.try_get("leaf_hash")?) };
        Ok(Self { prediction_id: row.try_get("prediction_id")?, digests })
    }
}

#[derive(Debug, Clone)]
pub struct StoredLeaf {
    pub leaf: Leaf,
    /// While it is pending: the HMAC by which the service knows its own leaves.
    code: Option<Vec<u8>>,
    waits: bool,
}

impl StoredLeaf {
    pub const fn is_sequenced(&self) -> bool {
        !self.waits
    }

    /// Whether a holder of this key wrote this leaf for this row.
    pub fn is_ours(&self, leaf_key: &SiteKey) -> bool {
        let Leaf { prediction_id, digests } = &self.leaf;
        let code = self.code.as_deref();
        digests.bind(*prediction_id)
            && code.is_some_and(|code| leaf_key.is_digest(&digests.leaf_hash.0, code))
    }
}

impl FromRow<'_, PgRow> for StoredLeaf {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let leaf = Leaf::from_row(row)?;
        Ok(Self { leaf, code: row.try_get("code")?, waits: row.try_get("waits")? })
    }
}

#[derive(Debug, Clone)]
pub struct SignedCheckpoint {
    pub size: u64,
    pub root: Hash,
    pub note: String,
}

/// What a step of the sequencer appends to the tree.
pub struct Growth {
    pub first_index: u64,
    /// Positions and hashes of the subtrees that the new leaves complete.
    pub hashes: Vec<(u64, Hash)>,
    pub checkpoint: SignedCheckpoint,
}

async fn hashes(session: &mut Session, positions: &[u64]) -> Result<Hashes, sqlx::Error> {
    let positions: Vec<i64> = positions.iter().map(|position| *position as i64).collect();
    let query = sqlx::query_as("SELECT position, hash FROM audit_hashes WHERE position = ANY($1)");
    let rows: Vec<(i64, [u8; 32])> = query.bind(positions).fetch_all(session).await?;
    Ok(rows.into_iter().map(|(position, hash)| (position as u64, Hash(hash))).collect())
}

async fn checkpoint(
    session: &mut Session,
    size: Option<u64>,
) -> Result<Option<SignedCheckpoint>, sqlx::Error> {
    let query = "SELECT tree_size, root_hash, note FROM audit_checkpoints
        WHERE tree_size = coalesce($1, tree_size) ORDER BY tree_size DESC LIMIT 1";
    let query = sqlx::query_as(query).bind(size.map(|size| size as i64));
    let row: Option<(i64, [u8; 32], String)> = query.fetch_optional(session).await?;
    Ok(row.map(|(size, root, note)| SignedCheckpoint { size: size as u64, root: Hash(root), note }))
}

impl Reader {
    /// The checkpoint of a tree size, or the newest one.
    pub async fn checkpoint(&self, size: Option<u64>) -> Result<Option<SignedCheckpoint>, StoreError> {
        self.0.run(async |session| checkpoint(session, size).await).await
    }

    /// Hashes of the tree at these positions; positions without a hash are left out.
    pub async fn tree_hashes(&self, positions: &[u64]) -> Result<Hashes, StoreError> {
        self.0.run(async |session| hashes(session, positions).await).await
    }

    /// Leaf index and leaf hash of a row; none while the leaf is pending.
    pub async fn leaf_index(&self, prediction_id: Uuid) -> Result<Option<(u64, Hash)>, StoreError> {
        let query = "SELECT leaf_index, leaf_hash FROM audit_leaves WHERE prediction_id = $1";
        let query = sqlx::query_as(query).bind(prediction_id);
        let row: Option<(i64, [u8; 32])> =
            self.0.run(async |session| query.fetch_optional(session).await).await?;
        Ok(row.map(|(index, hash)| (index as u64, Hash(hash))))
    }

    /// The leaf of a row, pending or in the tree.
    pub async fn leaf(&self, id: Uuid) -> Result<Option<StoredLeaf>, StoreError> {
        // One statement, so that the leaf is never seen between the two tables.
        let query = "SELECT prediction_id, leaf_hash, row_hash, NULL::bytea AS code, false AS waits
                FROM audit_leaves WHERE prediction_id = $1
            UNION ALL SELECT prediction_id, leaf_hash, row_hash, code, true
                FROM audit_pending WHERE prediction_id = $1";
        let query = sqlx::query_as(query).bind(id);
        self.0.run(async |session| query.fetch_optional(session).await).await
    }
}

#[derive(Debug)]
pub struct Sequenced {
    pub n_seen: usize,
    /// Id of the oldest leaf that was added, and the new checkpoint.
    pub added: Option<(Uuid, SignedCheckpoint)>,
    /// Pending leaves that the service did not write; they stay pending.
    pub foreign: Vec<Uuid>,
}

impl Lease {
    pub async fn load_tree(&mut self) -> Result<(Edge, Option<SignedCheckpoint>), StoreError> {
        let load = async |session: &mut Session| {
            let size = "SELECT coalesce(max(leaf_index) + 1, 0) FROM audit_leaves";
            let size: i64 = sqlx::query_scalar(size).fetch_one(&mut *session).await?;
            let size = size as u64;
            let hashes = hashes(session, &Edge::positions(size)).await?;
            Ok::<_, sqlx::Error>((Edge::resume(size, hashes), checkpoint(session, None).await?))
        };
        self.run(load).await
    }

    pub async fn tree_hashes(&mut self, positions: &[u64]) -> Result<Hashes, StoreError> {
        self.run(async |session| hashes(session, positions).await).await
    }

    /// Moves pending leaves into the tree, in one transaction. It examines up to `limit` leaves that are not
    /// in `skipped`, and adds those that are `ours`; `grow` computes what they append. A leaf whose
    /// transaction commits later waits for a later step. Drop the lease after an error: the step may have
    /// taken effect.
    pub async fn sequence(
        &mut self,
        limit: usize,
        skipped: &[Uuid],
        ours: impl Fn(&StoredLeaf) -> bool,
        grow: impl FnOnce(&[Leaf]) -> Result<Growth, String>,
    ) -> Result<Sequenced, StoreError> {
        self.run(async |session| sequence(session, limit, skipped, ours, grow).await).await
    }
}

async fn sequence(
    session: &mut Session,
    limit: usize,
    skipped: &[Uuid],
    ours: impl Fn(&StoredLeaf) -> bool,
    grow: impl FnOnce(&[Leaf]) -> Result<Growth, String>,
) -> Result<Sequenced, StoreError> {
    let mut transaction = session.transaction().await?;
    let waiting: Vec<StoredLeaf> = sqlx::query_as(
        "SELECT prediction_id, leaf_hash, row_hash, code, true AS waits FROM audit_pending
         WHERE prediction_id <> ALL ($2) ORDER BY prediction_id LIMIT $1",
    )
    .bind(limit as i64)
    .bind(skipped)
    .fetch_all(&mut *transaction)
    .await?;
    let n_seen = waiting.len();
    let (ours, foreign): (Vec<_>, Vec<_>) = waiting.into_iter().partition(ours);
    let foreign = foreign.into_iter().map(|stored| stored.leaf.prediction_id).collect();
    let leaves: Vec<Leaf> = ours.into_iter().map(|stored| stored.leaf).collect();
    let Some(oldest) = leaves.first().map(|leaf| leaf.prediction_id) else {
        transaction.rollback().await?;
        return Ok(Sequenced { n_seen, added: None, foreign });
    };
    let taken = sqlx::query("DELETE FROM audit_pending WHERE prediction_id = ANY ($1)")
        .bind(leaves.iter().map(|leaf| leaf.prediction_id).collect::<Vec<_>>());
    write::exactly(&mut *transaction, leaves.len() as u64, "audit_pending", taken).await?;
    let growth = grow(&leaves).map_err(|error| sqlx::Error::Encode(error.into()))?;
    insert(&mut transaction, &leaves, &growth).await?;
    transaction.commit().await?;
    Ok(Sequenced { n_seen, added: Some((oldest, growth.checkpoint)), foreign })
}

async fn insert(
    connection: &mut PgConnection,
    leaves: &[Leaf],
    Growth { first_index, hashes, checkpoint }: &Growth,
) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO audit_leaves (leaf_index, prediction_id, leaf_hash, row_hash)
         SELECT $1 + place - 1, id, hash, row_hash
         FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) WITH ORDINALITY AS leaf (id, hash, row_hash, place)",
    )
    .bind(*first_index as i64)
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
            .bind(checkpoint.size as i64)
            .bind(checkpoint.root.0)
            .bind(&checkpoint.note);
    write::exactly(connection, 1, "audit_checkpoints", insert).await
}
