//! Moves what waits into the tree and signs its heads. Every replica runs one; the database lets one of them work.

use super::anchor::{Anchor, AnchorError};
use super::erasures::Erasures;
use super::signing::LogKey;
use super::tree::{Edge, Hashes};
use crate::store::{Grown, Leader, Leaf, SignedHead, Store, StoreError};
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Metrics;
use signed_note::VerifierError;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tlog_tiles::{Checkpoint, tree_hash};
use uuid::Uuid;

/// How often another replica looks whether the leader has gone.
const STANDBY: Duration = Duration::from_millis(500);
/// After which time it tries again when the database is away, and when the tree cannot be continued.
const AGAIN: Duration = Duration::from_secs(1);
const BROKEN: Duration = Duration::from_secs(10);

/// How often it looks whether the next months have their tables; they are made three months ahead.
const MONTHS_EVERY: Duration = Duration::from_hours(6);

/// How often what must be forgotten is forgotten.
const TIDY_EVERY: Duration = Duration::from_mins(1);

/// When it works.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// From one step to the next.
    pub interval: Duration,
    /// Most leaves of a step.
    pub max_rows: usize,
    /// From one anchored head to the next.
    pub anchor_interval: Duration,
}

/// Why the tree does not go on.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(
        "the tree in the database cannot be continued: {0}; the log was tampered with or restored from an older state"
    )]
    Broken(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the anchor cannot be used")]
    Anchor(#[from] AnchorError),
    #[error("the log's key cannot be used")]
    Key(#[from] VerifierError),
    #[error("our own task failed")]
    Lost(#[from] tokio::task::JoinError),
}

/// The sequencer.
pub struct Sequencer {
    /// Where the tree is.
    pub store: Arc<Store>,
    /// What signs its heads.
    pub key: Arc<LogKey>,
    /// Where heads are written outside the database.
    pub anchor: Option<Anchor>,
    /// When it works.
    pub pace: Pace,
    /// How long answers are kept for retries.
    pub answers_kept: Duration,
    /// Whom the database must have forgotten.
    pub erasures: Option<Erasures>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

impl Sequencer {
    /// Works for ever: as the leader, or waiting to become it.
    pub async fn run(self) {
        let mut told = String::new();
        loop {
            let trouble = match self.store.candidate().await {
                Ok(candidate) => {
                    let Err(trouble) = self.stand(candidate).await;
                    trouble
                }
                Err(error) => error.into(),
            };
            let broken = matches!(trouble, Trouble::Broken(_));
            self.metrics.tree_broken(broken);
            self.metrics.sequencing(false);
            // Once for each cause: a database that is away for an hour is one line.
            let cause = chain(&trouble);
            if told != cause {
                tracing::error!(cause, "the audit tree does not go on");
                told = cause;
            }
            tokio::time::sleep(if broken { BROKEN } else { AGAIN }).await;
        }
    }

    /// Waits until nobody else leads, and works then.
    async fn stand(&self, mut candidate: Leader) -> Result<Infallible, Trouble> {
        while !candidate.try_lead().await? {
            self.metrics.tree_broken(false);
            self.metrics.sequencing(false);
            tokio::time::sleep(STANDBY).await;
        }
        self.work(candidate).await
    }

    async fn work(&self, mut leader: Leader) -> Result<Infallible, Trouble> {
        let (mut edge, mut head) = leader.resume().await?;
        continues(&edge, head.as_ref())?;
        let mut anchored = self.check_anchor(&edge).await?;
        let (mut months_made, mut tidied): (Option<Instant>, Option<Instant>) = (None, None);
        self.metrics.tree_broken(false);
        self.metrics.sequencing(true);
        self.metrics.tree_size(edge.size());
        loop {
            if months_made.is_none_or(|at| at.elapsed() > MONTHS_EVERY) {
                let made = leader.make_months().await?;
                if !made.is_empty() {
                    tracing::info!(months = made.join(", "), "made tables for the next months");
                }
                months_made = Some(Instant::now());
            }
            if tidied.is_none_or(|at| at.elapsed() > TIDY_EVERY) {
                self.tidy(&mut leader).await?;
                tidied = Some(Instant::now());
            }
            let (mut grown, mut oldest) = (edge.clone(), None);
            let grow = |leaves: &[Leaf]| {
                oldest = leaves.first().map(|leaf| leaf.prediction_id);
                self.grow(&mut grown, leaves)
            };
            let step = leader.sequence(self.pace.max_rows, grow).await?;
            let n = step.as_ref().map_or(0, |(n, _)| *n);
            if let Some((_, newest)) = step {
                (edge, head) = (grown, Some(newest));
                self.metrics.tree_size(edge.size());
                oldest.and_then(age).into_iter().for_each(|age| self.metrics.sequenced_after(age));
            }
            self.publish(head.as_ref(), &mut anchored).await?;
            if n < self.pace.max_rows {
                tokio::time::sleep(self.pace.interval).await;
            }
        }
    }

    /// Forgets what must be forgotten: keys of old requests, and subjects that were erased, should the database have been
    /// restored from a time before that.
    async fn tidy(&self, leader: &mut Leader) -> Result<(), Trouble> {
        leader.forget_old_keys(self.answers_kept).await?;
        let Some(list) = self.erasures.clone() else { return Ok(()) };
        // A list that cannot be read must be mended by somebody; the tree does not wait for that.
        let erased = match tokio::task::spawn_blocking(move || list.all()).await? {
            Ok(erased) => erased,
            Err(error) => {
                tracing::error!(
                    cause = chain(&error),
                    "subjects that were erased may be known to the database"
                );
                return Ok(());
            }
        };
        let n = leader.erase_subjects(&erased).await?;
        if n > 0 {
            tracing::warn!(n, "the database knew subjects that had been erased; they are erased again");
        }
        Ok(())
    }

    /// Whether the tree goes on from the newest anchored head: a database that was restored from an older state, or
    /// rewritten, does not.
    async fn check_anchor(&self, edge: &Edge) -> Result<Anchored, Trouble> {
        let Some(anchor) = self.anchor.clone() else { return Ok(Anchored::never()) };
        let verifier = self.key.verifier()?;
        let newest = tokio::task::spawn_blocking(move || anchor.newest(&verifier)).await??;
        let Some(newest) = newest else { return Ok(Anchored::never()) };
        if newest.size() > edge.size() {
            return Err(Trouble::Broken("it is shorter than its anchored checkpoint"));
        }
        let hashes = self.store.tree_hashes(&Edge::positions(newest.size())).await?;
        let hashes: Hashes = hashes.into_iter().collect();
        match tree_hash(newest.size(), &hashes) {
            Ok(root) if root == *newest.hash() => Ok(Anchored::at(&newest)),
            _ => Err(Trouble::Broken("it does not contain its anchored checkpoint")),
        }
    }

    async fn publish(&self, head: Option<&SignedHead>, anchored: &mut Anchored) -> Result<(), Trouble> {
        let (Some(anchor), Some(head)) = (&self.anchor, head) else { return Ok(()) };
        if head.size <= anchored.size || anchored.at.elapsed() < self.pace.anchor_interval {
            return Ok(());
        }
        let (anchor, published) = (anchor.clone(), head.clone());
        tokio::task::spawn_blocking(move || anchor.publish(&published)).await??;
        *anchored = Anchored { size: head.size, at: Instant::now() };
        self.metrics.anchored(head.size);
        Ok(())
    }

    fn grow(&self, edge: &mut Edge, leaves: &[Leaf]) -> Result<Grown, String> {
        let first_index = edge.size();
        let mut hashes = Vec::with_capacity(2 * leaves.len());
        for leaf in leaves {
            hashes.extend(edge.append(leaf.leaf_hash).map_err(|error| error.to_string())?);
        }
        let root = edge.root().map_err(|error| error.to_string())?;
        let note = self.key.checkpoint(edge.size(), root).map_err(|error| error.to_string())?;
        Ok((first_index, hashes, SignedHead { size: edge.size(), root, note }))
    }
}

/// What was anchored last.
struct Anchored {
    size: u64,
    at: Instant,
}

impl Anchored {
    fn never() -> Self {
        Self { size: 0, at: Instant::now() }
    }

    fn at(head: &Checkpoint) -> Self {
        Self { size: head.size(), at: Instant::now() }
    }
}

/// A tree goes on from what its last head signed, and from nothing else.
fn continues(edge: &Edge, head: Option<&SignedHead>) -> Result<(), Trouble> {
    let Some(head) = head else {
        return if edge.size() == 0 {
            Ok(())
        } else {
            Err(Trouble::Broken("it has leaves and no checkpoint"))
        };
    };
    if head.size != edge.size() {
        return Err(Trouble::Broken("its size is not the last checkpoint's"));
    }
    match edge.root() {
        Ok(root) if root == head.root => Ok(()),
        Ok(_) => Err(Trouble::Broken("its root is not the last checkpoint's")),
        Err(_) => Err(Trouble::Broken("hashes of it are missing")),
    }
}

/// How long ago an id was made.
fn age(id: Uuid) -> Option<Duration> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    SystemTime::now().duration_since(UNIX_EPOCH + Duration::new(seconds, nanoseconds)).ok()
}
