//! `service.model`: which bundle is served, where it executes and how its sessions are laid out.

use super::Profile;
use super::error::Findings;
use super::values::{Bounded, Checked, Millis, Rule, Timeout, rules};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Sessions, threads or images of a batch.
type Count = Bounded<usize, 1, 1024>;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the configuration")]
pub struct ModelConfig {
    pub bundle: PathBuf,
    /// Variant to serve; null: the bundle's default.
    pub variant: Option<String>,
    /// How often the directory is checked for a new bundle; null: never.
    pub watch_interval_ms: Option<Timeout>,
    pub onnxruntime_library: Checked<Library>,
    /// Execution provider. It never falls back to another one.
    pub provider: ProviderName,
    /// GPU ordinal.
    pub device_id: Bounded<i32, 0, { i32::MAX as u64 }>,
    pub memory_limit_bytes: Option<usize>,
    /// Whether a GPU may multiply fp32 with a 10-bit mantissa.
    pub tf32: bool,
    pub cuda_graphs: bool,
    pub openvino_device: String,
    /// Sessions, each on its own thread; null: as measured.
    pub sessions: Option<Count>,
    pub intra_threads: Option<Count>,
    /// Threads per operator of the single-image session; null: as measured.
    pub alone_threads: Option<Count>,
    pub spinning: bool,
    /// Whether a session keeps its memory between runs.
    pub arena: bool,
    pub batching: BatchingConfig,
    pub shadow: ShadowConfig,
    /// `advisory` puts the model out of service, whatever operators have set.
    pub state: ModelState,
    /// PEM files of the Ed25519 keys that may sign a bundle.
    pub trusted_keys: Vec<PathBuf>,
    /// Whether a bundle signed with the development key is refused: in the production profile.
    #[serde(skip)]
    pub refuse_development_key: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchingConfig {
    /// Most images; null: as measured.
    pub max_batch: Option<Count>,
    pub max_delay_ms: Millis<0, 10_000>,
}

/// A candidate: it scores the same inputs and never answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShadowConfig {
    /// Directory of its bundle; null: no candidate.
    pub bundle: Option<PathBuf>,
    pub variant: Option<String>,
    /// Images that may wait for it; further ones are not scored.
    pub max_waiting: NonZeroUsize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderName {
    Cpu,
    Cuda,
    Openvino,
}

/// Whether the model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    Serving,
    /// Out of service: every image is referred.
    Advisory,
}

impl ModelState {
    pub const ALL: [Self; 2] = [Self::Serving, Self::Advisory];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Advisory => "advisory",
        }
    }
}

rules! {
    Library(PathBuf): "set the path of libonnxruntime.so (or ORT_DYLIB_PATH)",
        |_| Ok(());
}

impl ModelConfig {
    /// The candidate's configuration, with one session and one thread: it gets the CPU time that is left.
    #[must_use]
    pub fn for_shadow(&self) -> Option<Self> {
        let one = Count::new(1).ok();
        Some(Self {
            bundle: self.shadow.bundle.clone()?,
            variant: self.shadow.variant.clone(),
            sessions: one,
            intra_threads: one,
            alone_threads: one,
            ..self.clone()
        })
    }

    pub(super) fn check(&self, profile: Profile, findings: &mut Findings<'_>) {
        let trusted = !self.trusted_keys.is_empty() || profile == Profile::Development;
        let advice = "list the PEM file of the Ed25519 public key for your bundles";
        findings.require(trusted, "model.trusted_keys", "empty in the production profile", advice);
    }
}
