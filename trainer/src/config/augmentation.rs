//! `trainer.augmentation`: random changes of training images. Ranges are drawn uniformly.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    pub flip_probability: f64,
    /// Probability of rotation, translation, scaling and stretching.
    pub warp_probability: f64,
    pub rotation_degrees: f64,
    /// Largest shift in either direction, as a share of the side.
    pub translation: f64,
    pub scale: [f64; 2],
    /// Largest absolute value of ln(width / height).
    pub aspect: f64,
    /// Largest change of the grey level, as a share of white.
    pub brightness: f64,
    /// Largest relative change of the contrast.
    pub contrast: f64,
    /// Largest absolute value of ln(gamma).
    pub gamma: f64,
    pub detail_probability: f64,
    /// Smallest factor of the downscaling whose lost detail is changed.
    pub detail_shrink: f64,
    /// Range of the factor that multiplies this detail.
    pub detail_gain: [f64; 2],
    /// Probability that the frame comes from another image.
    pub frame_probability: f64,
    /// Largest width of the frame, as a share of the side.
    pub frame_width: f64,
    /// Probability of rectangles over the corners.
    pub occlusion_probability: f64,
    /// Largest side of a rectangle, as a share of the image's side.
    pub occlusion_side: f64,
    pub letters_probability: f64,
    /// Largest standard deviation of noise, as a share of white.
    pub noise: f64,
    pub jpeg_probability: f64,
    pub jpeg_quality: [u8; 2],
}

impl Augmentation {
    pub(super) fn check(&self) -> Result<()> {
        for (key, value) in [
            ("flip_probability", self.flip_probability),
            ("warp_probability", self.warp_probability),
            ("detail_probability", self.detail_probability),
            ("frame_probability", self.frame_probability),
            ("frame_width", self.frame_width),
            ("occlusion_probability", self.occlusion_probability),
            ("occlusion_side", self.occlusion_side),
            ("letters_probability", self.letters_probability),
            ("jpeg_probability", self.jpeg_probability),
        ] {
            ensure!((0.0..=1.0).contains(&value), "trainer.augmentation.{key}: {value} is not in [0, 1]");
        }
        for (key, value) in [
            ("rotation_degrees", self.rotation_degrees),
            ("translation", self.translation),
            ("aspect", self.aspect),
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("gamma", self.gamma),
            ("noise", self.noise),
        ] {
            ensure!(value >= 0.0, "trainer.augmentation.{key}: {value} is negative");
        }
        let [low, high] = self.jpeg_quality;
        ensure!(
            1 <= low && low <= high && high <= 100,
            "trainer.augmentation.jpeg_quality: 1 to 100, lowest first"
        );
        let [low, high] = self.scale;
        ensure!(0.0 < low && low <= high, "trainer.augmentation.scale: positive, smallest first");
        let shrink = self.detail_shrink;
        ensure!(
            0.0 < shrink && shrink <= 1.0,
            "trainer.augmentation.detail_shrink: {shrink} is not in (0, 1]"
        );
        let [least, most] = self.detail_gain;
        ensure!(least <= most, "trainer.augmentation.detail_gain: least first");
        Ok(())
    }
}
