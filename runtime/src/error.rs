//! Errors of loading the library, creating a session and running it.

/// Messages name the failed step; ONNX Runtime's message is the source.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error(
        "ONNX Runtime library {path}: cannot be loaded; give the path of libonnxruntime.so (scripts/onnxruntime.sh fetches it)"
    )]
    Library {
        path: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("ONNX Runtime was loaded from {loaded} already, {asked} cannot be loaded beside it")]
    OtherLibrary { loaded: String, asked: String },
    #[error(
        "ONNX Runtime would send telemetry to its vendor: set ORT_DISABLE_TELEMETRY=1 in the environment, or call \
         runtime::disable_telemetry first in main, before any thread is started"
    )]
    Telemetry,
    #[error("{step} failed")]
    Session {
        step: &'static str,
        #[source]
        source: Box<ort::Error>,
    },
    #[error("the graph breaks the bundle's contract: {what}")]
    Contract { what: String },
    #[error("the requested execution provider {provider} does not execute the graph: {found}")]
    Provider { provider: &'static str, found: String },
    #[error("{found} bytes of pixels for a batch of {batch}, {expected} are needed")]
    Input { batch: usize, found: usize, expected: usize },
    #[error("a batch of {batch} images, the session runs {largest} at most")]
    BatchTooLarge { batch: usize, largest: usize },
    #[error("running the model failed")]
    Run(#[source] Box<ort::Error>),
    #[error("the model gave a logit that is not finite for image {index} of the batch")]
    NotFinite { index: usize },
}

impl RuntimeError {
    /// Turns the error of a builder, or of ONNX Runtime itself, into one that names the step.
    pub(crate) fn session<E: Into<ort::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Session { step, source: Box::new(error.into()) }
    }
}
