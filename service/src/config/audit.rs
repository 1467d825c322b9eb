//! `service.audit`: keys, commits, tree and anchor of the audit log.

use super::Profile;
use super::error::Findings;
use super::secret::{HmacKey, Secret};
use super::values::{Bounded, Checked, Millis, Rule, Timeout, ensure, rules};
use serde::{Deserialize, Serialize};
use signed_note::{Signer, StandardSigner};
use std::path::{Path, PathBuf};

/// Origin of the signing key in development.yaml.
const DEVELOPMENT_ORIGIN: &str = "development.cxr.invalid/log";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditConfig {
    /// Key of the input digests: only with it can one test whether a given image was scored here.
    pub input_key: Checked<HmacKey>,
    input_key_file: Option<PathBuf>,
    pub site: Checked<Site>,
    pub commit: CommitConfig,
    pub signing_key: Checked<SigningKey>,
    signing_key_file: Option<PathBuf>,
    pub sequence: SequenceConfig,
    /// Where checkpoints are written outside the database.
    pub anchor: AnchorConfig,
    /// How long an answer is kept for retries: up to 30 days, because its row must still exist.
    pub idempotency_kept_ms: Millis<1000, 2_592_000_000>,
    erasures_file: Option<PathBuf>,
}

/// When rows share a transaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitConfig {
    pub max_rows: Bounded<usize, 1, 1024>,
    pub max_delay_ms: Millis<0, 1000>,
    /// With fewer images in flight, a row does not wait.
    pub from_in_flight: usize,
}

/// The steps in which pending leaves enter the tree.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceConfig {
    pub interval_ms: Timeout,
    /// Most leaves of a step, which must end well within `database.statement_timeout_ms`.
    pub max_rows: Bounded<usize, 1, 65_536>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorConfig {
    /// A directory that the database's administrators cannot write to.
    pub directory: Option<PathBuf>,
    pub interval_ms: Timeout,
}

rules! {
    Site(String): "set the site's name for audit rows, 1 to 64 bytes",
        |site| ensure((1..=64).contains(&site.len()), "empty or too long");

    /// Private key of a log, `PRIVATE+KEY+<origin>+<id>+<key>`.
    SigningKey(Secret): "make one with cxr-service audit new-key --origin NAME, and keep it",
        |key| ensure(StandardSigner::new(key.expose().trim()).is_ok(), "not a private key of a log");
}

impl AuditConfig {
    pub fn erasures_file(&self) -> Option<&Path> {
        self.erasures_file.as_deref().filter(|path| !path.as_os_str().is_empty())
    }

    pub(super) fn check(&self, profile: Profile, findings: &mut Findings<'_>) {
        if profile == Profile::Development {
            return;
        }
        let (found, advice) = ("the well-known secret of the development profile", "set your own secret");
        findings.require(!self.input_key.is_well_known(), "audit.input_key", found, advice);
        let signer = StandardSigner::new(self.signing_key.expose().trim());
        let own = signer.is_ok_and(|signer| signer.name() != DEVELOPMENT_ORIGIN);
        let found = "the well-known key of the development profile";
        findings.require(own, "audit.signing_key", found, SigningKey::ADVICE);
        let advice = "give a folder that the database's administrators cannot write to; without it, anyone who has the database \
                      and the log's key can rewrite everything unnoticed";
        findings.require(self.anchor.directory.is_some(), "audit.anchor.directory", "not set", advice);
    }
}
