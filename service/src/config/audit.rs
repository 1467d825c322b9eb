//! `service.audit`: what audit rows say of this site, and the key that hides whose image they are about.

use super::problem::Problem;
use super::secret::{Secret, resolve};
use super::units::Milliseconds;
use super::{Profile, require};
use crate::audit::GroupPolicy;
use crate::audit::anchor::Anchor;
use crate::audit::erasures::Erasures;
use crate::audit::sequencer::Pace;
use crate::audit::signing::LogKey;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// An HMAC key as long as its hash.
const MIN_INPUT_KEY_BYTES: usize = 32;

/// Most values of a statement are 65,535; a row has 39.
const MOST_ROWS: usize = 1024;
/// Most leaves of a step: it must end well within `database.statement_timeout_ms`.
const MOST_LEAVES: usize = 65_536;
/// Name of the log whose private key stands in development.yaml.
const DEVELOPMENT_ORIGIN: &str = "development.cxr.invalid/log";
/// Longest time that an answer is kept for retries; its row must still be there.
const LONGEST_KEPT: Duration = Duration::from_hours(30 * 24);
/// Longest wait of a row for others: a pause that nobody would call one.
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// As written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditSection {
    input_key: Option<Secret>,
    input_key_file: Option<PathBuf>,
    site: Option<String>,
    commit: CommitSection,
    signing_key: Option<Secret>,
    signing_key_file: Option<PathBuf>,
    sequence: SequenceSection,
    anchor: AnchorSection,
    idempotency_kept_ms: Milliseconds,
    erasures_file: Option<PathBuf>,
}

/// As written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SequenceSection {
    interval_ms: Milliseconds,
    max_rows: NonZeroUsize,
}

/// As written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorSection {
    directory: Option<PathBuf>,
    interval_ms: Milliseconds,
}

/// As written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitSection {
    max_rows: NonZeroUsize,
    max_delay_ms: Milliseconds,
    from_in_flight: usize,
}

/// The audit log.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    /// Key of the input digests: without it nobody can test whether a given image was scored here.
    pub input_key: Secret,
    /// The site that every row names.
    pub site: String,
    /// When rows are committed together.
    pub group: GroupPolicy,
    /// What signs receipts and the heads of the tree.
    pub signing_key: Secret,
    /// When leaves get their places in the tree.
    pub pace: Pace,
    /// Where heads are written outside the database.
    pub anchor: Option<Anchor>,
    /// How long an answer is kept for retries.
    pub answers_kept: Duration,
    /// The list of erased subjects.
    pub erasures: Option<Erasures>,
}

impl AuditSection {
    pub(super) fn check(&self, profile: Profile, problems: &mut Vec<Problem>) -> Option<AuditConfig> {
        let site = self.site.clone().filter(|site| (1..=64).contains(&site.len()));
        let advice = "set the site's name for audit rows, 1 to 64 bytes";
        require(problems, site.is_some(), "audit.site", "not set, empty or too long", advice);
        let before = problems.len();
        let key = resolve(
            "audit.input_key",
            self.input_key.as_ref(),
            self.input_key_file.as_deref(),
            profile,
            problems,
        );
        let long = key.as_ref().is_some_and(|key| key.expose().len() >= MIN_INPUT_KEY_BYTES);
        let advice =
            "use at least 32 random bytes and keep them: changing the key makes old input digests useless";
        if problems.len() == before {
            require(problems, long, "audit.input_key", "not set or shorter than 32 bytes", advice);
        }
        let group = self.commit.check(problems);
        let signing_key = self.signing_key(profile, problems);
        let pace = self.pace(problems);
        let anchor = self.anchor.directory.clone().map(Anchor::at);
        let anchored = anchor.is_some() || profile == Profile::Development;
        let advice = "give a folder that the database's administrators cannot write to; without it whoever has the database and \
                      the log's key can rewrite everything unnoticed";
        require(problems, anchored, "audit.anchor.directory", "not set", advice);
        let answers_kept = self.idempotency_kept_ms.duration();
        let advice = "use 1000 milliseconds to 30 days";
        let kept = (Duration::from_secs(1)..=LONGEST_KEPT).contains(&answers_kept);
        require(problems, kept, "audit.idempotency_kept_ms", "out of range", advice);
        let erasures =
            self.erasures_file.clone().filter(|path| !path.as_os_str().is_empty()).map(Erasures::at);
        Some(AuditConfig {
            input_key: key?,
            site: site?,
            group,
            signing_key: signing_key?,
            pace,
            anchor,
            answers_kept,
            erasures,
        })
    }

    fn signing_key(&self, profile: Profile, problems: &mut Vec<Problem>) -> Option<Secret> {
        let (key, before) = ("audit.signing_key", problems.len());
        let (value, file) = (self.signing_key.as_ref(), self.signing_key_file.as_deref());
        let secret = resolve(key, value, file, profile, problems);
        let advice = "make one with cxr-service audit new-key --origin NAME, and keep it";
        let parsed = secret.as_ref().and_then(|secret| LogKey::parse(secret).ok());
        if problems.len() == before {
            require(problems, parsed.is_some(), key, "not set, or not a private key of a log", advice);
        }
        let well_known = parsed.is_some_and(|key| key.origin() == DEVELOPMENT_ORIGIN);
        let refused = well_known && profile == Profile::Production;
        require(problems, !refused, key, "the well-known key of the development profile", advice);
        secret
    }

    fn pace(&self, problems: &mut Vec<Problem>) -> Pace {
        let (interval, anchor_interval) = (self.sequence.interval_ms, self.anchor.interval_ms);
        for (key, value) in
            [("audit.sequence.interval_ms", interval), ("audit.anchor.interval_ms", anchor_interval)]
        {
            require(problems, value.is_timeout(), key, "out of range", "use 1 to 3600000 milliseconds");
        }
        let max_rows = self.sequence.max_rows.get();
        let advice = "use 1 to 65536 rows";
        require(problems, max_rows <= MOST_LEAVES, "audit.sequence.max_rows", "out of range", advice);
        Pace { interval: interval.duration(), max_rows, anchor_interval: anchor_interval.duration() }
    }
}

impl CommitSection {
    fn check(&self, problems: &mut Vec<Problem>) -> GroupPolicy {
        let (max_rows, max_delay) = (self.max_rows.get(), self.max_delay_ms.duration());
        let advice = "use 1 to 1024 rows";
        require(problems, max_rows <= MOST_ROWS, "audit.commit.max_rows", "out of range", advice);
        let advice = "use 0 to 1000 milliseconds";
        require(problems, max_delay <= LONGEST_DELAY, "audit.commit.max_delay_ms", "out of range", advice);
        GroupPolicy { max_rows, max_delay, from_in_flight: self.from_in_flight }
    }
}
