//! `service.model`: which bundle is served and where it executes.

use super::problem::Problem;
use super::{Profile, require};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// As written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelSection {
    bundle: PathBuf,
    variant: Option<String>,
    onnxruntime_library: Option<PathBuf>,
    provider: ProviderName,
    device_id: i32,
    memory_limit_bytes: Option<usize>,
    sessions: NonZeroUsize,
    intra_threads: NonZeroUsize,
    trusted_keys: Vec<PathBuf>,
}

/// Where the model executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderName {
    /// The host's processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

/// The model.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// Directory of the bundle.
    pub bundle: PathBuf,
    /// Variant to serve; the bundle's default where absent.
    pub variant: Option<String>,
    /// ONNX Runtime's shared library.
    pub onnxruntime_library: PathBuf,
    /// Execution provider; another one never executes in its place.
    pub provider: ProviderName,
    /// GPU ordinal.
    pub device_id: i32,
    /// Most GPU memory, in bytes.
    pub memory_limit_bytes: Option<usize>,
    /// Sessions, each on its own thread.
    pub sessions: usize,
    /// Threads inside one operator of a session.
    pub intra_threads: usize,
    /// PEM files of the Ed25519 keys that may sign a bundle.
    pub trusted_keys: Vec<PathBuf>,
    /// Whether a bundle signed with the development key is refused.
    pub refuse_development_key: bool,
}

impl ModelSection {
    /// The library that the environment names under ONNX Runtime's own variable, where the configuration names none.
    pub(super) fn default_library(&mut self, path: Option<&str>) {
        self.onnxruntime_library = self.onnxruntime_library.take().or_else(|| path.map(PathBuf::from));
    }

    pub(super) fn check(&self, profile: Profile, problems: &mut Vec<Problem>) -> Option<ModelConfig> {
        let library = self.onnxruntime_library.clone();
        let advice = "give the path of libonnxruntime.so (or set ORT_DYLIB_PATH)";
        require(problems, library.is_some(), "model.onnxruntime_library", "not set", advice);
        let production = profile == Profile::Production;
        let advice = "list the PEM file of the Ed25519 public key that signs your bundles";
        let trusted = !production || !self.trusted_keys.is_empty();
        require(problems, trusted, "model.trusted_keys", "empty in the production profile", advice);
        require(
            problems,
            self.device_id >= 0,
            "model.device_id",
            "negative",
            "give the GPU's ordinal, from 0",
        );
        Some(ModelConfig {
            bundle: self.bundle.clone(),
            variant: self.variant.clone(),
            onnxruntime_library: library?,
            provider: self.provider,
            device_id: self.device_id,
            memory_limit_bytes: self.memory_limit_bytes,
            sessions: self.sessions.get(),
            intra_threads: self.intra_threads.get(),
            trusted_keys: self.trusted_keys.clone(),
            refuse_development_key: production,
        })
    }
}
