//! Errors of loading the library, creating a session and running it.

/// Messages name the failed step; ONNX Runtime's message is the source.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The shared library cannot be loaded.
    #[error(
        "ONNX Runtime library {path}: cannot be loaded; give the path of libonnxruntime.so (scripts/onnxruntime.sh fetches it)"
    )]
    Library {
        /// Configured path.
        path: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another library was loaded in this process.
    #[error("ONNX Runtime was loaded from {loaded} already, {asked} cannot be loaded beside it")]
    OtherLibrary {
        /// Path of the loaded library.
        loaded: String,
        /// What was requested.
        asked: String,
    },
    /// The library's telemetry is not disabled.
    #[error(
        "ONNX Runtime would send telemetry to its vendor: set ORT_DISABLE_TELEMETRY=1 in the environment, or call \
         runtime::disable_telemetry first in main, before any thread is started"
    )]
    Telemetry,
    /// A session cannot be created.
    #[error("{step} failed")]
    Session {
        step: &'static str,
        #[source]
        source: Box<ort::Error>,
    },
    /// The graph differs from the bundle's contract.
    #[error("the graph does not keep the bundle's contract: {what}")]
    Contract { what: String },
    /// The requested provider does not execute the graph.
    #[error("the execution provider {provider} was asked for and does not execute the graph: {found}")]
    Provider {
        /// What was requested.
        provider: &'static str,
        /// Number of nodes per provider.
        found: String,
    },
    /// The pixels do not match the batch.
    #[error("{found} bytes of pixels for a batch of {batch}, {expected} are needed")]
    Input {
        batch: usize,
        /// Bytes given.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// The batch is larger than the session's largest batch size.
    #[error("a batch of {batch} images, the session runs {largest} at most")]
    BatchTooLarge {
        batch: usize,
        /// Largest of the session's batch sizes.
        largest: usize,
    },
    /// ONNX Runtime failed to run the graph.
    #[error("running the model failed")]
    Run(#[source] Box<ort::Error>),
    /// A logit is NaN or infinite.
    #[error("the model gave a logit that is not finite for image {index} of the batch")]
    NotFinite {
        /// Position in the batch.
        index: usize,
    },
}
