//! Accepted image to model input: window, resize with antialiasing, store as the training images were stored, then
//! CLAHE at the model's size.
//!
//! Samples stay 16-bit until after the resize, and contrast enhancement comes last, so that images that were stored
//! small and images that arrive large meet the model alike. Everything after (scaling, normalisation) is in the graph.

pub mod clahe;
mod jpeg_round_trip;
mod resize;
mod window;

pub use clahe::ClaheSpec;
pub(crate) use jpeg_round_trip::jpeg_round_trip;
pub use resize::{Geometry, ResizeMode};

use crate::statistics::ImageStatistics;
use crate::validate::AcceptedImage;
use crate::workspace::Workspace;
use serde::{Deserialize, Serialize};

/// The recipe; travels in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreprocessSpec {
    /// Version of the arithmetic below, 1.
    pub version: u32,
    /// Columns of the model's input.
    pub width: u32,
    /// Rows of the model's input.
    pub height: u32,
    /// How the aspect ratio is treated.
    pub resize: ResizeMode,
    /// Quality, 1 to 100, of the JPEG files of the model's size that the model was trained on; every input is put
    /// through such a file, so that an original and its stored copy are alike. `null` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_jpeg_quality: Option<u8>,
    /// Contrast-limited adaptive histogram equalisation; `null` for none.
    pub clahe: Option<ClaheSpec>,
}

impl Default for PreprocessSpec {
    fn default() -> Self {
        Self {
            version: 1,
            width: 224,
            height: 224,
            resize: ResizeMode::Squash,
            stored_jpeg_quality: None,
            clahe: None,
        }
    }
}

impl PreprocessSpec {
    /// Refuses a recipe that this code cannot follow.
    ///
    /// # Errors
    /// A sentence saying what is out of range.
    pub fn check(&self) -> Result<(), String> {
        if self.version != 1 {
            return Err(format!("preprocessing version {} is not known, 1 is", self.version));
        }
        if !(32..=2048).contains(&self.width) || !(32..=2048).contains(&self.height) {
            return Err(format!(
                "the model's input is {} x {}, sides must be 32 to 2048",
                self.width, self.height
            ));
        }
        if self.stored_jpeg_quality.is_some_and(|quality| !(1..=100).contains(&quality)) {
            return Err("stored_jpeg_quality must be 1 to 100".into());
        }
        self.clahe.map_or(Ok(()), |clahe| clahe.check(self.width, self.height))
    }
}

/// What the model sees: uint8 `[1, H, W]`. Only [`preprocess`] builds it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInput {
    pixels: Vec<u8>,
    geometry: Geometry,
    statistics: ImageStatistics,
}

impl ModelInput {
    /// Pixels, row-major.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
    /// Columns.
    pub const fn width(&self) -> u32 {
        self.geometry.input.0
    }
    /// Rows.
    pub const fn height(&self) -> u32 {
        self.geometry.input.1
    }
    /// Where the original lies in the input.
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }
    /// Statistics of the accepted image.
    pub const fn statistics(&self) -> &ImageStatistics {
        &self.statistics
    }
}

/// Runs the recipe. `spec` must have passed [`PreprocessSpec::check`].
pub fn preprocess(accepted: &AcceptedImage, spec: &PreprocessSpec) -> ModelInput {
    preprocess_with(&mut Workspace::default(), accepted, spec)
}

/// [`preprocess`] in buffers of the workspace.
pub fn preprocess_with(
    workspace: &mut Workspace,
    accepted: &AcceptedImage,
    spec: &PreprocessSpec,
) -> ModelInput {
    let image = accepted.image();
    let window = window::Lut::new(accepted);
    let geometry = Geometry::new((image.width(), image.height()), (spec.width, spec.height), spec.resize);
    let pixels = resize::resize(&image.samples, &window, &geometry, &mut workspace.resize);
    let histogram = window.histogram(accepted);
    let size = (image.width(), image.height());
    let statistics = ImageStatistics::new(&histogram, size, &pixels, spec.width);
    let pixels = finish(pixels, spec);
    ModelInput { pixels, geometry, statistics }
}

/// The steps at the model's size, after the resize: stored as JPEG, then CLAHE. Whoever changes resized pixels on
/// purpose (the robustness suite does) runs them afterwards, as the service would on such an image.
pub fn finish(mut pixels: Vec<u8>, spec: &PreprocessSpec) -> Vec<u8> {
    if let Some(quality) = spec.stored_jpeg_quality {
        pixels = jpeg_round_trip(&pixels, spec.width, spec.height, quality);
    }
    if let Some(clahe) = &spec.clahe {
        clahe::apply(&mut pixels, spec.width, spec.height, clahe);
    }
    pixels
}

impl PreprocessSpec {
    /// The same recipe up to and including the resize, without the steps of [`finish`].
    #[must_use]
    pub const fn unfinished(self) -> Self {
        Self { stored_jpeg_quality: None, clahe: None, ..self }
    }
}
