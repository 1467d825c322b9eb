//! `trainer.augmentation`: random changes of training images.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    pub flip_probability: f64,
    pub warp_probability: f64,
    pub rotation_degrees: f64,
    pub translation: f64,
    pub scale: [f64; 2],
    pub aspect: f64,
    pub brightness: f64,
    pub contrast: f64,
    pub gamma: f64,
    pub detail_probability: f64,
    pub detail_shrink: f64,
    pub detail_gain: [f64; 2],
    pub frame_probability: f64,
    pub frame_width: f64,
    pub occlusion_probability: f64,
    pub occlusion_side: f64,
    pub letters_probability: f64,
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
            "trainer.augmentation.jpeg_quality: must be [lowest, highest], 1 to 100"
        );
        let [low, high] = self.scale;
        ensure!(
            0.0 < low && low <= high,
            "trainer.augmentation.scale: must be [smallest, largest], positive"
        );
        let shrink = self.detail_shrink;
        ensure!(
            0.0 < shrink && shrink <= 1.0,
            "trainer.augmentation.detail_shrink: {shrink} is not in (0, 1]"
        );
        let [least, most] = self.detail_gain;
        ensure!(least <= most, "trainer.augmentation.detail_gain: must be [smallest, largest]");
        Ok(())
    }
}
