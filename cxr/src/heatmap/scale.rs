//! The colour scale: one for every image of a variant, so that two heatmaps can be compared and a clear negative stays dark.

use serde::{Deserialize, Serialize};

/// Values of the class activation map at the two ends of the colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColourScale {
    /// Nothing is drawn below.
    pub low: f32,
    /// The last colour, from here on.
    pub high: f32,
}

/// The scale as a bundle states it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeatmapScale {
    /// Nothing is drawn below.
    pub low: f32,
    /// The last colour, from here on.
    pub high: f32,
    /// How the two were found.
    pub chosen: ScaleOrigin,
}

/// The images behind a scale: quantiles of the largest value of each image's map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleOrigin {
    /// The fold.
    pub fold: String,
    /// `low` is this quantile over the negatives that were called negative.
    pub low_quantile: f64,
    /// How many those are.
    pub n_negative: usize,
    /// `high` is this quantile over the positives that were called positive.
    pub high_quantile: f64,
    /// How many those are.
    pub n_positive: usize,
    /// Share of those positives of whose map something is drawn.
    pub drawn_positive: f64,
}

impl HeatmapScale {
    /// The two ends.
    pub const fn ends(&self) -> ColourScale {
        ColourScale { low: self.low, high: self.high }
    }

    /// Whether it rises from a finite value that is not negative: what speaks against the class is never drawn.
    pub fn is_valid(&self) -> bool {
        self.low.is_finite() && self.high.is_finite() && self.low >= 0.0 && self.high > self.low
    }
}

impl ColourScale {
    /// The colour of a value: 0 where nothing is drawn, then 1 to 255.
    pub(super) fn index(self, value: f32) -> u8 {
        if !value.is_finite() || value < self.low {
            return 0;
        }
        1 + ((value - self.low) / (self.high - self.low) * 254.0).min(254.0) as u8
    }

    /// Red, green, blue and opacity of a colour: four anchors of a ramp from violet over red and orange to yellow. Brightness
    /// and opacity rise together, and the faintest colour can still be seen.
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

    /// A colour over a grey level.
    pub(super) fn over(index: u8, level: u8) -> [u8; 3] {
        let (rgb, alpha) = Self::colour(index);
        let (level, share) = (f32::from(level), f32::from(alpha) / 255.0);
        rgb.map(|channel| (level + (f32::from(channel) - level) * share) as u8)
    }
}
