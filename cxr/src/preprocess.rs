//! Accepted image to model input: window, antialiased resize, storage as JPEG like the training images, then
//! CLAHE at the model's size.
//!
//! Samples stay 16-bit until after the resize, and contrast enhancement comes last, so that the model sees
//! small stored images and large originals alike. The graph does everything after that (scaling,
//! normalisation).

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

/// Preprocessing parameters, stored in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreprocessSpec {
    /// Version of the arithmetic; always 1.
    pub version: u32,
    /// Columns of the model's input.
    pub width: u32,
    /// Rows of the model's input.
    pub height: u32,
    /// Treatment of the aspect ratio.
    pub resize: ResizeMode,
    /// Quality, 1 to 100, of the JPEG files of the model's size that the model was trained on. Every input is
    /// put through such a file, so that an original and its stored copy are alike. `null` for none.
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
    /// Rejects parameters out of range, with a sentence for people.
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

/// The model's input: uint8 `[1, H, W]`. Only [`preprocess`] and [`preprocess_with`] build it.
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
    /// Position of the original in the input.
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }
    /// Statistics of the accepted image.
    pub const fn statistics(&self) -> &ImageStatistics {
        &self.statistics
    }
}

/// Preprocesses an image. `spec` must have passed [`PreprocessSpec::check`].
pub fn preprocess(accepted: &AcceptedImage, spec: &PreprocessSpec) -> ModelInput {
    preprocess_with(&mut Workspace::default(), accepted, spec)
}

/// [`preprocess`] with buffers of the workspace.
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
    let statistics = ImageStatistics::new(&histogram, image, &pixels, spec.width);
    let pixels = finish(pixels, spec);
    ModelInput { pixels, geometry, statistics }
}

/// The steps after the resize, at the model's size: JPEG round trip, then CLAHE. Code that changes resized
/// pixels on purpose, such as the robustness suite, runs them afterwards, as the service would on such an
/// image.
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
    /// The same parameters up to and including the resize, without the steps of [`finish`].
    #[must_use]
    pub const fn unfinished(self) -> Self {
        Self { stored_jpeg_quality: None, clahe: None, ..self }
    }
}
