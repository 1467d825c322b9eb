//! The connection of the one process that moves pending leaves into the tree. Its session holds the lock: whoever is killed
//! or stalls loses both, and what it had not committed never was.

use super::idempotency;
use super::months;
use super::session::Session;
use super::subjects;
use super::tree::{self, Leaf, Sequenced, SignedHead, StoredLeaf};
use super::{Store, StoreError};
use crate::record::tree::{Edge, Hashes};
use std::time::Duration;
use time::OffsetDateTime;
use tlog_tiles::Hash;
use uuid::Uuid;

/// Postgres ends the session of a leader that has said nothing for so long.
const STALLED: &str = "5s";

/// What a step of the sequencer adds for some leaves: the first one's index, the completed subtrees, the head afterwards.
pub type Grown = (u64, Vec<(u64, Hash)>, SignedHead);

/// Who may become the leader, and is it as long as this connection lasts once it has.
pub struct Leader {
    connection: Session,
    patience: Duration,
}

impl Store {
    /// A connection over which the leadership can be taken.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn candidate(&self) -> Result<Leader, StoreError> {
        let settings = ["idle_session_timeout", "idle_in_transaction_session_timeout"];
        let connection = self.connect_directly(&settings.map(|name| (name, STALLED.to_owned()))).await?;
        Ok(Leader { connection, patience: self.patience })
    }
}

impl Leader {
    /// Takes the leadership where nobody has it.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn try_lead(&mut self) -> Result<bool, StoreError> {
        bounded(self.patience, tree::lead(&mut self.connection)).await
    }

    /// The tree as it is stored, and its newest signed head.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn resume(&mut self) -> Result<(Edge, Option<SignedHead>), StoreError> {
        let connection = &mut self.connection;
        let read = async {
            let size = tree::size(connection).await?;
            let hashes = tree::hashes(connection, &Edge::positions(size)).await?;
            let head = tree::head(connection, None).await?;
            Ok::<_, sqlx::Error>((Edge::resume(size, hashes.into_iter().collect::<Hashes>()), head))
        };
        bounded(self.patience, read).await
    }

    /// The tree's hashes at positions, of those that exist.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn hashes(&mut self, positions: &[u64]) -> Result<Hashes, StoreError> {
        let hashes = bounded(self.patience, tree::hashes(&mut self.connection, positions)).await?;
        Ok(hashes.into_iter().collect())
    }

    /// Makes the months of the log that are missing; which.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn make_months(&mut self) -> Result<Vec<String>, StoreError> {
        bounded(self.patience, months::make(&mut self.connection)).await
    }

    /// Lets go of idempotency keys that are older than `kept`, of so many at once that nothing waits for it; whether that was all.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn forget_old_keys(&mut self, kept: Duration) -> Result<bool, StoreError> {
        let n = bounded(self.patience, idempotency::delete_expired(&mut self.connection, kept)).await?;
        Ok(n < idempotency::BATCH)
    }

    /// Takes the keys of erased subjects away; how many were there.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn erase_subjects(
        &mut self,
        erasures: &[([u8; 32], OffsetDateTime)],
    ) -> Result<u64, StoreError> {
        bounded(self.patience, subjects::erase(&mut self.connection, erasures)).await
    }

    /// Gives waiting leaves their places (see [`tree::sequence`]).
    ///
    /// # Errors
    /// After any the leadership must be given up: the step may have taken effect.
    pub async fn sequence(
        &mut self,
        limit: usize,
        left_alone: &[Uuid],
        ours: impl Fn(&StoredLeaf) -> bool,
        grow: impl FnOnce(&[Leaf]) -> Result<Grown, String>,
    ) -> Result<Sequenced, StoreError> {
        bounded(self.patience, tree::sequence(&mut self.connection, limit, left_alone, ours, grow)).await
    }
}

async fn bounded<T, E: Into<StoreError>>(
    patience: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(patience, work).await.map_err(|_| StoreError::Timeout)?.map_err(E::into)
}
