//! `service.model`: which bundle is served, where it executes and how its sessions are laid out.

use super::problem::Problem;
use super::units::Milliseconds;
use super::{Profile, require};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// As written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the configuration")]
pub(super) struct ModelSection {
    bundle: PathBuf,
    variant: Option<String>,
    watch_interval_ms: Option<Milliseconds>,
    onnxruntime_library: Option<PathBuf>,
    provider: ProviderName,
    device_id: i32,
    memory_limit_bytes: Option<usize>,
    tf32: bool,
    cuda_graphs: bool,
    openvino_device: String,
    sessions: Option<NonZeroUsize>,
    intra_threads: Option<NonZeroUsize>,
    alone_threads: Option<NonZeroUsize>,
    spinning: bool,
    arena: bool,
    batching: BatchingSection,
    shadow: ShadowSection,
    trusted_keys: Vec<PathBuf>,
}

/// As written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchingSection {
    max_batch: Option<NonZeroUsize>,
    max_delay_ms: u64,
}

/// As written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShadowSection {
    bundle: Option<PathBuf>,
    variant: Option<String>,
    max_waiting: NonZeroUsize,
}

/// Where the model executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderName {
    /// The host's processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// Intel's OpenVINO.
    Openvino,
}

/// The model.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the configuration")]
pub struct ModelConfig {
    /// Directory of the bundle.
    pub bundle: PathBuf,
    /// Variant to serve; the bundle's default where absent.
    pub variant: Option<String>,
    /// How often the directory is looked at for a new bundle.
    pub watch_interval: Option<Duration>,
    /// ONNX Runtime's shared library.
    pub onnxruntime_library: PathBuf,
    /// Execution provider; another one never executes in its place.
    pub provider: ProviderName,
    /// GPU ordinal.
    pub device_id: i32,
    /// Most GPU memory, in bytes.
    pub memory_limit_bytes: Option<usize>,
    /// Whether a GPU may compute fp32 products with 10 bits of mantissa.
    pub tf32: bool,
    /// Whether a GPU's runs are recorded and replayed.
    pub cuda_graphs: bool,
    /// OpenVINO's name of the device.
    pub openvino_device: String,
    /// Sessions, each on its own thread; measured defaults where absent.
    pub sessions: Option<usize>,
    /// Threads inside one operator of a session; measured defaults where absent.
    pub intra_threads: Option<usize>,
    /// Threads inside one operator for an image that nothing runs beside; measured defaults where absent.
    pub alone_threads: Option<usize>,
    /// Whether an operator's idle threads spin.
    pub spinning: bool,
    /// Whether a session keeps its memory between runs.
    pub arena: bool,
    /// Bounds of a batch.
    pub batching: BatchingConfig,
    /// A candidate beside it.
    pub shadow: Option<ShadowConfig>,
    /// PEM files of the Ed25519 keys that may sign a bundle.
    pub trusted_keys: Vec<PathBuf>,
    /// Whether a bundle signed with the development key is refused.
    pub refuse_development_key: bool,
}

/// Bounds of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchingConfig {
    /// Most images; measured defaults where absent.
    pub max_batch: Option<usize>,
    /// How long an image waits for others while every session is busy.
    pub max_delay: Duration,
}

/// A candidate that scores the same inputs and never answers.
#[derive(Debug, Clone)]
pub struct ShadowConfig {
    /// Directory of its bundle.
    pub bundle: PathBuf,
    /// Its variant; the bundle's default where absent.
    pub variant: Option<String>,
    /// Images that may wait for it; more are not scored.
    pub max_waiting: usize,
}

impl ModelConfig {
    /// The same, for the candidate: one session on the processor that is left over.
    #[must_use]
    pub fn for_shadow(&self, shadow: &ShadowConfig) -> Self {
        Self {
            bundle: shadow.bundle.clone(),
            variant: shadow.variant.clone(),
            sessions: Some(1),
            intra_threads: Some(1),
            alone_threads: Some(1),
            shadow: None,
            ..self.clone()
        }
    }
}

impl ModelSection {
    /// The library that the environment names under ONNX Runtime's own variable, where the configuration names none.
    pub(super) fn default_library(&mut self, path: Option<&str>) {
        self.onnxruntime_library = self.onnxruntime_library.take().or_else(|| path.map(PathBuf::from));
    }

    pub(super) fn check(&self, profile: Profile, problems: &mut Vec<Problem>) -> Option<ModelConfig> {
        let library = self.onnxruntime_library.clone();
        let production = profile == Profile::Production;
        let trusted = !production || !self.trusted_keys.is_empty();
        let watch = self.watch_interval_ms.is_none_or(Milliseconds::is_timeout);
        let most = |n: Option<NonZeroUsize>, most| n.is_none_or(|n| n.get() <= most);
        for (holds, key, found, advice) in [
            (
                library.is_some(),
                "model.onnxruntime_library",
                "not set",
                "set the path of libonnxruntime.so (or ORT_DYLIB_PATH)",
            ),
            (
                trusted,
                "model.trusted_keys",
                "empty in the production profile",
                "list the PEM file of the Ed25519 public key for your bundles",
            ),
            (self.device_id >= 0, "model.device_id", "negative", "use the GPU's ordinal, starting at 0"),
            (watch, "model.watch_interval_ms", "out of range", "use 1 to 3600000 milliseconds, or null"),
            (most(self.sessions, 1024), "model.sessions", "more than 1024", "use about the number of cores"),
            (
                most(self.intra_threads, 1024),
                "model.intra_threads",
                "more than 1024",
                "use at most the number of cores",
            ),
            (
                most(self.alone_threads, 1024),
                "model.alone_threads",
                "more than 1024",
                "use at most the number of cores",
            ),
            (
                most(self.batching.max_batch, 1024),
                "model.batching.max_batch",
                "more than 1024",
                "use a number whose images the device can hold",
            ),
            (
                self.batching.max_delay_ms <= 10_000,
                "model.batching.max_delay_ms",
                "more than 10000",
                "use a few milliseconds",
            ),
        ] {
            require(problems, holds, key, found, advice);
        }
        let shadow = self.shadow.bundle.clone().map(|bundle| ShadowConfig {
            bundle,
            variant: self.shadow.variant.clone(),
            max_waiting: self.shadow.max_waiting.get(),
        });
        Some(ModelConfig {
            bundle: self.bundle.clone(),
            variant: self.variant.clone(),
            watch_interval: self.watch_interval_ms.map(Milliseconds::duration),
            onnxruntime_library: library?,
            provider: self.provider,
            device_id: self.device_id,
            memory_limit_bytes: self.memory_limit_bytes,
            tf32: self.tf32,
            cuda_graphs: self.cuda_graphs,
            openvino_device: self.openvino_device.clone(),
            sessions: self.sessions.map(NonZeroUsize::get),
            intra_threads: self.intra_threads.map(NonZeroUsize::get),
            alone_threads: self.alone_threads.map(NonZeroUsize::get),
            spinning: self.spinning,
            arena: self.arena,
            batching: BatchingConfig {
                max_batch: self.batching.max_batch.map(NonZeroUsize::get),
                max_delay: Duration::from_millis(self.batching.max_delay_ms),
            },
            shadow,
            trusted_keys: self.trusted_keys.clone(),
            refuse_development_key: production,
        })
    }
}
