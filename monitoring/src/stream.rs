//! A stream: the images that are monitored together.

use serde::{Deserialize, Serialize};

/// Images of one site and slice. Image statistics and rejections go on across models, so their stream has no
/// model; scores and embeddings have a stream for each model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stream {
    /// `audit.site` of the service.
    pub site: String,
    /// `all`, or a property and its value, such as `view:PA`.
    pub slice: String,
    pub model: Option<Model>,
}

/// What scored the images.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Model {
    /// Version of the bundle.
    pub version: String,
    /// SHA-256 of the bundle's manifest, in hexadecimal.
    pub digest: String,
    pub variant: String,
}

impl Stream {
    /// The slice of all images.
    pub const ALL: &str = "all";
}
