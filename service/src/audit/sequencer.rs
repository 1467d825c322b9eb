//! Moves what waits into the tree and signs its heads. Every replica runs one; the database lets one of them work.

use super::anchor::{Anchor, AnchorError};
use super::erasures::{Erasure, Erasures, ErasuresError};
use super::keyed::SiteKey;
use super::outside::{Outside, OutsideError, PATIENCE};
use super::publisher::Publisher;
use super::signing::LogKey;
use super::tree::Edge;
use crate::config::audit::AuditConfig;
use crate::store::{Grown, Leader, Leaf, SignedHead, Store, StoreError, StoredLeaf};
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Metrics;
use signed_note::VerifierError;
use std::convert::Infallible;
use std::ops::Deref;
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
/// After which time a chore is tried again that the database refused.
const LATER: Duration = Duration::from_mins(1);

/// Leaves of somebody else that are told apart; each is named to the database in every step.
const MOST_FOREIGN: usize = 10_000;

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

impl Pace {
    /// From the configuration.
    pub const fn new(config: &AuditConfig) -> Self {
        Self {
            interval: config.sequence.interval_ms.duration(),
            max_rows: config.sequence.max_rows.get(),
            anchor_interval: config.anchor.interval_ms.duration(),
        }
    }
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
    #[error("the anchor is not usable")]
    Anchor(#[from] AnchorError),
    #[error("the log's key is not usable")]
    Key(#[from] VerifierError),
    #[error("the anchor cannot be read")]
    Outside(#[from] OutsideError),
}

/// The sequencer.
pub struct Sequencer {
    /// Where the tree is.
    pub store: Arc<Store>,
    /// What signs its heads.
    pub key: Arc<LogKey>,
    /// Key of the codes by which it knows the service's leaves.
    pub leaf_key: SiteKey,
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

/// A sequencer that works.
struct Running {
    parts: Sequencer,
    publisher: Option<Publisher>,
    newest_anchored: Outside<Result<Option<Checkpoint>, AnchorError>>,
    erased: Outside<Result<Vec<Erasure>, ErasuresError>>,
}

impl Deref for Running {
    type Target = Sequencer;

    fn deref(&self) -> &Sequencer {
        &self.parts
    }
}

impl Sequencer {
    /// Works for ever: as the leader, or waiting to become it.
    pub async fn run(self) {
        let publisher = self
            .anchor
            .clone()
            .map(|anchor| Publisher::start(anchor, self.pace.anchor_interval, Arc::clone(&self.metrics)));
        let (newest_anchored, erased) = (Outside::within(PATIENCE), Outside::within(PATIENCE));
        Running { parts: self, publisher, newest_anchored, erased }.run().await;
    }
}

impl Running {
    async fn run(self) {
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
                tracing::error!(cause, "audit tree stalled");
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
        let (mut edge, head) = leader.resume().await?;
        continues(&edge, head.as_ref())?;
        self.check_anchor(&mut leader, &edge).await?;
        let (mut months, mut tidied) = (Chore::every(MONTHS_EVERY), Chore::every(TIDY_EVERY));
        let mut foreign = Vec::new();
        self.metrics.tree_broken(false);
        self.metrics.sequencing(true);
        self.metrics.tree_size(edge.size());
        if let Some(head) = &head {
            self.anchored(head);
        }
        loop {
            let n_seen = self.step(&mut leader, &mut edge, &mut foreign).await?;
            if months.is_due() {
                months.done(or_later(self.make_months(&mut leader).await)?);
            }
            if tidied.is_due() {
                tidied.done(or_later(self.tidy(&mut leader).await)?);
            }
            if n_seen < self.pace.max_rows {
                tokio::time::sleep(self.pace.interval).await;
            }
        }
    }

    /// Gives what waits its places; how many leaves it looked at.
    async fn step(
        &self,
        leader: &mut Leader,
        edge: &mut Edge,
        foreign: &mut Vec<Uuid>,
    ) -> Result<usize, Trouble> {
        let mut grown = edge.clone();
        let ours = |leaf: &StoredLeaf| leaf.is_ours(&self.leaf_key);
        let grow = |leaves: &[Leaf]| self.grow(&mut grown, leaves);
        let step = leader.sequence(self.pace.max_rows, foreign, ours, grow).await?;
        if let Some((oldest, head)) = step.grown {
            *edge = grown;
            self.metrics.tree_size(edge.size());
            if let Some(age) = age(oldest) {
                self.metrics.sequenced_after(age);
            }
            self.anchored(&head);
        }
        if let Some(id) = step.foreign.first() {
            tracing::error!(%id, n = step.foreign.len(), "foreign leaves in the database, not added to the audit tree");
            foreign.extend(&step.foreign);
            self.metrics.foreign_leaves(foreign.len());
        }
        if foreign.len() > MOST_FOREIGN {
            return Err(Trouble::Broken("too many foreign leaves in the database"));
        }
        Ok(step.n_seen)
    }

    async fn make_months(&self, leader: &mut Leader) -> Result<bool, StoreError> {
        let made = leader.make_months().await?;
        if !made.is_empty() {
            tracing::info!(months = made.join(", "), "created tables for the next months");
        }
        Ok(true)
    }

    /// Forgets what must be forgotten: keys of old requests, and subjects that were erased, should the database have been
    /// restored from a time before that. Whether that was all.
    async fn tidy(&self, leader: &mut Leader) -> Result<bool, StoreError> {
        let all = leader.forget_old_keys(self.answers_kept).await?;
        let Some(list) = self.erasures.clone() else { return Ok(all) };
        // A list that cannot be read must be mended by somebody; the tree does not wait for that.
        let cause = match self.erased.ask(move || list.all()).await {
            Ok(Ok(erased)) => {
                let n = leader.erase_subjects(&erased).await?;
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

    /// Whether the tree goes on from the newest anchored head: a database that was restored from an older state, or
    /// rewritten, does not.
    async fn check_anchor(&self, leader: &mut Leader, edge: &Edge) -> Result<(), Trouble> {
        let Some(anchor) = self.anchor.clone() else { return Ok(()) };
        let verifier = self.key.verifier()?;
        let newest = self.newest_anchored.ask(move || anchor.newest(&verifier)).await??;
        let Some(newest) = newest else { return Ok(()) };
        if newest.size() > edge.size() {
            return Err(Trouble::Broken("the tree is shorter than its anchored checkpoint"));
        }
        let hashes = leader.hashes(&Edge::positions(newest.size())).await?;
        match tree_hash(newest.size(), &hashes) {
            Ok(root) if root == *newest.hash() => Ok(()),
            _ => Err(Trouble::Broken("the tree does not contain its anchored checkpoint")),
        }
    }

    fn anchored(&self, head: &SignedHead) {
        if let Some(publisher) = &self.publisher {
            publisher.publish(head);
        }
    }

    fn grow(&self, edge: &mut Edge, leaves: &[Leaf]) -> Result<Grown, String> {
        let first_index = edge.size();
        let mut hashes = Vec::with_capacity(2 * leaves.len());
        for leaf in leaves {
            hashes.extend(edge.append(leaf.digests.leaf_hash).map_err(|error| error.to_string())?);
        }
        let root = edge.root().map_err(|error| error.to_string())?;
        let note = self.key.checkpoint(edge.size(), root).map_err(|error| error.to_string())?;
        Ok((first_index, hashes, SignedHead { size: edge.size(), root, note }))
    }
}

/// Something that is done now and then.
struct Chore {
    every: Duration,
    due: Instant,
}

impl Chore {
    fn every(every: Duration) -> Self {
        Self { every, due: Instant::now() }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    /// Again after its time where it is `finished`; with the next step where some of it is left; in a minute where it could not be done.
    fn done(&mut self, finished: Option<bool>) {
        self.due = Instant::now()
            + match finished {
                Some(true) => self.every,
                Some(false) => Duration::ZERO,
                None => LATER,
            };
    }
}

/// What a chore did; none where the database refused it, which must not stop the tree.
fn or_later(done: Result<bool, StoreError>) -> Result<Option<bool>, StoreError> {
    match done {
        Err(error) if error.is_refusal() => {
            tracing::warn!(cause = chain(&error), "audit log maintenance failed; retrying");
            Ok(None)
        }
        done => done.map(Some),
    }
}

/// A tree goes on from what its last head signed, and from nothing else.
fn continues(edge: &Edge, head: Option<&SignedHead>) -> Result<(), Trouble> {
    let Some(head) = head else {
        return if edge.size() == 0 {
            Ok(())
        } else {
            Err(Trouble::Broken("the tree has leaves but no checkpoint"))
        };
    };
    if head.size != edge.size() {
        return Err(Trouble::Broken("the tree's size differs from its last checkpoint"));
    }
    match edge.root() {
        Ok(root) if root == head.root => Ok(()),
        Ok(_) => Err(Trouble::Broken("the tree's root differs from its last checkpoint")),
        Err(_) => Err(Trouble::Broken("hashes of the tree are missing")),
    }
}

/// How long ago an id was made.
fn age(id: Uuid) -> Option<Duration> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    SystemTime::now().duration_since(UNIX_EPOCH + Duration::new(seconds, nanoseconds)).ok()
}
