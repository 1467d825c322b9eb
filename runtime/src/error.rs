//! What can go wrong between a graph and its outputs.

/// Every error says which step failed; ONNX Runtime's own words are the source.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The shared library cannot be used.
    #[error(
        "ONNX Runtime library {path}: cannot be loaded; give the path of libonnxruntime.so (scripts/onnxruntime.sh fetches it)"
    )]
    Library {
        /// Path that was tried.
        path: String,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another library has been loaded in this process.
    #[error("ONNX Runtime was loaded from {loaded} already, {asked} cannot be loaded beside it")]
    OtherLibrary {
        /// In use.
        loaded: String,
        /// Asked for.
        asked: String,
    },
    /// The library's telemetry is not disabled.
    #[error(
        "ONNX Runtime would send telemetry to its vendor: set ORT_DISABLE_TELEMETRY=1 in the environment, or call \
         runtime::disable_telemetry first in main, before any thread is started"
    )]
    Telemetry,
    /// A session cannot be made.
    #[error("{step} failed")]
    Session {
        /// The step.
        step: &'static str,
        /// Cause.
        #[source]
        source: Box<ort::Error>,
    },
    /// The graph is not what the bundle says.
    #[error("the graph does not keep the bundle's contract: {what}")]
    Contract {
        /// The first difference.
        what: String,
    },
    /// The provider asked for does not execute the graph.
    #[error("the execution provider {provider} was asked for and does not execute the graph: {found}")]
    Provider {
        /// Asked for.
        provider: &'static str,
        /// Which provider got how many nodes.
        found: String,
    },
    /// The pixels given do not make up the batch.
    #[error("{found} bytes of pixels for a batch of {batch}, {expected} are needed")]
    Input {
        /// Images.
        batch: usize,
        /// Bytes given.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// More images than the session's largest batch size.
    #[error("a batch of {batch} images, the session runs {largest} at most")]
    BatchTooLarge {
        /// Images.
        batch: usize,
        /// Largest of the session's batch sizes.
        largest: usize,
    },
    /// The model failed.
    #[error("running the model failed")]
    Run(#[source] Box<ort::Error>),
    /// The model gave something that is not a number.
    #[error("the model gave a logit that is not finite for image {index} of the batch")]
    NotFinite {
        /// Position in the batch.
        index: usize,
    },
}
