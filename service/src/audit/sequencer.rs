//! Moves pending leaves into the tree and signs checkpoints. Of all replicas, the one with the lease works.

use super::anchor::{Anchor, AnchorError};
use super::erasures::{Erasures, ErasuresError};
use super::publisher::Publisher;
use super::signing::LogKey;
use super::volume::{VOLUME_TIMEOUT, VolumeCall, VolumeError};
use crate::config::audit::AuditConfig;
use crate::record::hmac::SiteKey;
use crate::record::tree::Edge;
use crate::store::{
    Erasure, Growth, Leaf, Lease, LeaseName, SignedCheckpoint, Store, StoreError, StoredLeaf,
};
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Metrics;
use signed_note::VerifierError;
use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tlog_tiles::{Checkpoint, tree_hash};
use uuid::Uuid;

/// How often the other replicas try to take the lease.
const ACQUIRE_EVERY: Duration = Duration::from_millis(500);
/// Pause after an error, and after finding that the tree cannot be continued.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_BROKEN: Duration = Duration::from_secs(10);

/// How often months are made; they are made three months ahead.
const MAKE_MONTHS_EVERY: Duration = Duration::from_hours(6);

/// How often old idempotency keys and erased subjects are deleted.
const CLEAN_UP_EVERY: Duration = Duration::from_mins(1);
/// Pause after the database refused a periodic job.
const RETRY_JOB: Duration = Duration::from_mins(1);

/// Foreign leaves that are skipped; each step sends all of their ids to the database.
const MOST_FOREIGN: usize = 10_000;

#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub interval: Duration,
    pub max_rows: usize,
    pub anchor_interval: Duration,
}

impl Pace {
    pub const fn new(config: &AuditConfig) -> Self {
        Self {
            interval: config.sequence.interval_ms.duration(),
            max_rows: config.sequence.max_rows.get(),
            anchor_interval: config.anchor.interval_ms.duration(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum SequencerError {
    #[error(
        "the tree in the database cannot be continued: {0}; the log was tampered with or restored from an older state"
    )]
    Broken(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the anchor is not usable")]
    Anchor(#[from] AnchorError),
    #[error("the log's key is not usable")]
    Key(#[from] VerifierError),
    #[error("the anchor cannot be read")]
    Volume(#[from] VolumeError),
}

pub struct Sequencer {
    pub store: Arc<Store>,
    pub key: Arc<LogKey>,
    /// Key of the HMACs by which it knows the service's own leaves.
    pub leaf_key: SiteKey,
    pub anchor: Option<Anchor>,
    pub pace: Pace,
    /// How long answers are kept for retries; older keys are deleted.
    pub answers_kept: Duration,
    pub erasures: Option<Erasures>,
    pub metrics: Arc<Metrics>,
}

struct Running {
    parts: Sequencer,
    publisher: Option<Publisher>,
    newest_anchored: VolumeCall<Result<Option<Checkpoint>, AnchorError>>,
    erased: VolumeCall<Result<Vec<Erasure>, ErasuresError>>,
}

impl Deref for Running {
    type Target = Sequencer;

    fn deref(&self) -> &Sequencer {
        &self.parts
    }
}

impl Sequencer {
    /// Runs forever: holds the lease, or waits for it.
    pub async fn run(self) {
        let start = |anchor| Publisher::start(anchor, self.pace.anchor_interval, Arc::clone(&self.metrics));
        Running {
            publisher: self.anchor.clone().map(start),
            newest_anchored: VolumeCall::with_timeout(VOLUME_TIMEOUT),
            erased: VolumeCall::with_timeout(VOLUME_TIMEOUT),
            parts: self,
        }
        .run()
        .await;
    }
}

impl Running {
    async fn run(self) {
        let mut logged = String::new();
        loop {
            let Err(error) = self.try_run().await;
            let broken = matches!(error, SequencerError::Broken(_));
            self.metrics.tree_broken(broken);
            self.metrics.sequencing(false);
            // Each cause once: a database that is away for an hour is one line.
            let cause = chain(&error);
            if logged != cause {
                tracing::error!(cause, "audit tree stalled");
                logged = cause;
            }
            tokio::time::sleep(if broken { RETRY_BROKEN } else { RETRY }).await;
        }
    }

    /// Waits for the lease, then works until something fails.
    async fn try_run(&self) -> Result<Infallible, SequencerError> {
        let mut contender = self.store.contender(LeaseName::SEQUENCER).await?;
        loop {
            match contender.try_acquire().await? {
                Ok(lease) => return self.work(lease).await,
                Err(other_holds_it) => contender = other_holds_it,
            }
            self.metrics.tree_broken(false);
            self.metrics.sequencing(false);
            tokio::time::sleep(ACQUIRE_EVERY).await;
        }
    }

    async fn work(&self, mut lease: Lease) -> Result<Infallible, SequencerError> {
        let (mut edge, checkpoint) = lease.load_tree().await?;
        check_checkpoint(&edge, checkpoint.as_ref())?;
        self.check_anchor(&mut lease, &edge).await?;
        let mut months = PeriodicJob::every(MAKE_MONTHS_EVERY);
        let mut clean_up = PeriodicJob::every(CLEAN_UP_EVERY);
        let mut foreign = Vec::new();
        self.metrics.tree_broken(false);
        self.metrics.sequencing(true);
        self.metrics.tree_size(edge.size());
        if let Some(checkpoint) = &checkpoint {
            self.publish(checkpoint);
        }
        loop {
            let n_seen = self.step(&mut lease, &mut edge, &mut foreign).await?;
            if months.is_due() {
                months.ran(unless_refused(make_months(&mut lease).await)?);
            }
            if clean_up.is_due() {
                clean_up.ran(unless_refused(self.clean_up(&mut lease).await)?);
            }
            if n_seen < self.pace.max_rows {
                lease.sleep(self.pace.interval).await?;
            }
        }
    }

    /// Moves pending leaves into the tree; returns how many it examined.
    async fn step(
        &self,
        lease: &mut Lease,
        edge: &mut Edge,
        foreign: &mut Vec<Uuid>,
    ) -> Result<usize, SequencerError> {
        let mut grown = edge.clone();
        let ours = |leaf: &StoredLeaf| leaf.is_ours(&self.leaf_key);
        let grow = |leaves: &[Leaf]| self.grow(&mut grown, leaves);
        let step = lease.sequence(self.pace.max_rows, foreign, ours, grow).await?;
        if let Some((oldest, checkpoint)) = step.added {
            *edge = grown;
            self.metrics.tree_size(edge.size());
            if let Some(age) = age(oldest) {
                self.metrics.sequenced_after(age);
            }
            self.publish(&checkpoint);
        }
        if let Some(id) = step.foreign.first() {
            tracing::error!(%id, n = step.foreign.len(), "foreign leaves in the database, not added to the audit tree");
            foreign.extend(&step.foreign);
            self.metrics.foreign_leaves(foreign.len());
        }
        if foreign.len() > MOST_FOREIGN {
            return Err(SequencerError::Broken("too many foreign leaves in the database"));
        }
        Ok(step.n_seen)
    }

    /// Deletes old idempotency keys and erased subjects that came back; returns whether nothing is left.
    async fn clean_up(&self, lease: &mut Lease) -> Result<bool, StoreError> {
        let all = lease.delete_expired_keys(self.answers_kept).await?;
        let Some(list) = self.erasures.clone() else { return Ok(all) };
        // An operator must repair an unreadable list; the tree does not wait for that.
        let cause = match self.erased.run(move || list.all()).await {
            Ok(Ok(erased)) => {
                let n = lease.erase_subjects(&erased).await?;
                if n > 0 {
                    tracing::warn!(n, "erased subjects were back in the database; erased them again");
                }
                return Ok(all);
            }
            Ok(Err(error)) => chain(&error),
            Err(error) => chain(&error),
        };
        tracing::error!(
            cause,
            "the list of erased subjects is not usable; erased subjects may be back in the database"
        );
        Ok(all)
    }

    /// Fails unless the tree contains the newest anchored checkpoint, as no restored or rewritten one does.
    async fn check_anchor(&self, lease: &mut Lease, edge: &Edge) -> Result<(), SequencerError> {
        let Some(anchor) = self.anchor.clone() else { return Ok(()) };
        let verifier = self.key.verifier()?;
        let newest = self.newest_anchored.run(move || anchor.newest(&verifier)).await??;
        let Some(newest) = newest else { return Ok(()) };
        if newest.size() > edge.size() {
            return Err(SequencerError::Broken("the tree is shorter than its anchored checkpoint"));
        }
        let hashes = lease.tree_hashes(&Edge::positions(newest.size())).await?;
        match tree_hash(newest.size(), &hashes) {
            Ok(root) if root == *newest.hash() => Ok(()),
            _ => Err(SequencerError::Broken("the tree does not contain its anchored checkpoint")),
        }
    }

    fn publish(&self, checkpoint: &SignedCheckpoint) {
        if let Some(publisher) = &self.publisher {
            publisher.publish(checkpoint);
        }
    }

    fn grow(&self, edge: &mut Edge, leaves: &[Leaf]) -> Result<Growth, String> {
        let first_index = edge.size();
        let mut hashes = Vec::with_capacity(2 * leaves.len());
        for leaf in leaves {
            hashes.extend(edge.append(leaf.digests.leaf_hash).map_err(|error| error.to_string())?);
        }
        let root = edge.root().map_err(|error| error.to_string())?;
        let note = self.key.checkpoint(edge.size(), root).map_err(|error| error.to_string())?;
        let checkpoint = SignedCheckpoint { size: edge.size(), root, note };
        Ok(Growth { first_index, hashes, checkpoint })
    }
}

async fn make_months(lease: &mut Lease) -> Result<bool, StoreError> {
    let made = lease.make_months().await?;
    if !made.is_empty() {
        tracing::info!(months = made.join(", "), "created tables for the next months");
    }
    Ok(true)
}

/// A job that runs between two steps of the sequencer.
struct PeriodicJob {
    every: Duration,
    due: Instant,
}

impl PeriodicJob {
    fn every(every: Duration) -> Self {
        Self { every, due: Instant::now() }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    /// Sets the next run: after the interval if the job `finished`, after the next step if work is left, and
    /// after a minute if the database refused it.
    fn ran(&mut self, finished: Option<bool>) {
        self.due = Instant::now()
            + match finished {
                Some(true) => self.every,
                Some(false) => Duration::ZERO,
                None => RETRY_JOB,
            };
    }
}

/// The result of a periodic job; none if the database refused it, which must not stop the tree.
fn unless_refused(ran: Result<bool, StoreError>) -> Result<Option<bool>, StoreError> {
    match ran {
        Err(error) if error.is_reported() => {
            tracing::warn!(cause = chain(&error), "audit log maintenance failed; retrying");
            Ok(None)
        }
        ran => ran.map(Some),
    }
}

/// Fails unless the newest checkpoint signs exactly this tree.
fn check_checkpoint(edge: &Edge, checkpoint: Option<&SignedCheckpoint>) -> Result<(), SequencerError> {
    let what = match (checkpoint, edge.root()) {
        (None, _) if edge.size() == 0 => return Ok(()),
        (None, _) => "the tree has leaves but no checkpoint",
        (Some(checkpoint), _) if checkpoint.size != edge.size() => {
            "the tree's size differs from its last checkpoint"
        }
        (Some(checkpoint), Ok(root)) if root == checkpoint.root => return Ok(()),
        (Some(_), Ok(_)) => "the tree's root differs from its last checkpoint",
        (Some(_), Err(_)) => "hashes of the tree are missing",
    };
    Err(SequencerError::Broken(what))
}

fn age(id: Uuid) -> Option<Duration> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    SystemTime::now().duration_since(UNIX_EPOCH + Duration::new(seconds, nanoseconds)).ok()
}
