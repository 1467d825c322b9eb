//! `service.audit`: what audit rows say of this site, and the key that hides whose image they are about.

use super::problem::Problem;
use super::secret::{Secret, resolve};
use super::units::Milliseconds;
use super::{Profile, require};
use crate::audit::GroupPolicy;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// An HMAC key as long as its hash.
const MIN_INPUT_KEY_BYTES: usize = 32;

/// Most values of a statement are 65,535; a row has 39.
const MOST_ROWS: usize = 1024;
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
}

impl AuditSection {
    pub(super) fn check(&self, profile: Profile, problems: &mut Vec<Problem>) -> Option<AuditConfig> {
        let site = self.site.clone().filter(|site| (1..=64).contains(&site.len()));
        let advice = "give the name of the site, 1 to 64 bytes, as audit rows shall show it";
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
            "give 32 random bytes or more and keep them: another key makes old input digests useless";
        if problems.len() == before {
            require(problems, long, "audit.input_key", "not set or shorter than 32 bytes", advice);
        }
        let group = self.commit.check(problems);
        Some(AuditConfig { input_key: key?, site: site?, group })
    }
}

impl CommitSection {
    fn check(&self, problems: &mut Vec<Problem>) -> GroupPolicy {
        let (max_rows, max_delay) = (self.max_rows.get(), self.max_delay_ms.duration());
        let advice = "give 1 to 1024 rows";
        require(problems, max_rows <= MOST_ROWS, "audit.commit.max_rows", "out of range", advice);
        let advice = "give 0 to 1000 milliseconds";
        require(problems, max_delay <= LONGEST_DELAY, "audit.commit.max_delay_ms", "out of range", advice);
        GroupPolicy { max_rows, max_delay, from_in_flight: self.from_in_flight }
    }
}
