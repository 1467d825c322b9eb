//! The colour scale. All images of a variant share one, so that heatmaps can be compared and a clear negative
//! stays dark.

use serde::{Deserialize, Serialize};

/// Values of the class activation map at both ends of the colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColourScale {
    /// Lowest value that is drawn.
    pub low: f32,
    /// Values from here on have the last colour.
    pub high: f32,
}

/// The scale in a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeatmapScale {
    /// Lowest value that is drawn.
    pub low: f32,
    /// Values from here on have the last colour.
    pub high: f32,
    /// How `low` and `high` were chosen.
    pub chosen: ScaleOrigin,
}

/// How a scale was chosen: quantiles of the largest value of each image's map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleOrigin {
    /// Fold of the images.
    pub fold: String,
    /// `low` is this quantile over the negatives that were called negative.
    pub low_quantile: f64,
    /// Number of these images.
    pub n_negative: usize,
    /// `high` is this quantile over the positives that were called positive.
    pub high_quantile: f64,
    /// Number of these images.
    pub n_positive: usize,
    /// Share of these positives whose heatmap is not empty.
    pub drawn_positive: f64,
}

impl HeatmapScale {
    /// The ends as a [`ColourScale`].
    pub const fn ends(&self) -> ColourScale {
        ColourScale { low: self.low, high: self.high }
    }

    /// Whether the scale is finite, ascending and starts at 0 or above: evidence against the class is never
    /// drawn.
    pub fn is_valid(&self) -> bool {
        self.low.is_finite() && self.high.is_finite() && self.low >= 0.0 && self.high > self.low
    }
}

impl ColourScale {
    /// Palette index of a value: 0 is transparent, then 1 to 255.
    pub(super) fn index(self, value: f32) -> u8 {
        if !value.is_finite() || value < self.low {
            return 0;
        }
        1 + ((value - self.low) / (self.high - self.low) * 254.0).min(254.0) as u8
    }

    /// Red, green, blue and opacity of a palette index: a ramp through four anchors from violet over red and
    /// orange to yellow. Brightness and opacity rise together, and the faintest colour is still visible.
    pub(super) fn colour(index: u8) -> ([u8; 3], u8) {
        const ANCHORS: [[f32; 3]; 4] =
            [[60.0, 0.0, 110.0], [190.0, 30.0, 80.0], [245.0, 125.0, 20.0], [252.0, 250.0, 130.0]];
        const FAINTEST: f32 = 70.0;
        const STRONGEST: f32 = 190.0;
        if index == 0 {
            return ([0; 3], 0);
        }
        let share = f32::from(index - 1) / 254.0;
        let along = share * 3.0;
        let first = (along as usize).min(2);
        let weight = along - first as f32;
        let mix = |channel: usize| {
            (ANCHORS[first][channel] + (ANCHORS[first + 1][channel] - ANCHORS[first][channel]) * weight) as u8
        };
        ([mix(0), mix(1), mix(2)], (FAINTEST + (STRONGEST - FAINTEST) * share) as u8)
    }

    /// A palette colour blended over a grey level.
    pub(super) fn over(index: u8, level: u8) -> [u8; 3] {
        let (rgb, alpha) = Self::colour(index);
        let (level, share) = (f32::from(level), f32::from(alpha) / 255.0);
        rgb.map(|channel| (level + (f32::from(channel) - level) * share) as u8)
    }
}
