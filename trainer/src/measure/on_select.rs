//! A variant on the select fold: the scale of its heatmaps, and the number of images that it refers.

use super::heatmap::{MapFigures, Peak};
use crate::data::pixels::Pixels;
use crate::progress::{Meter, say};
use anyhow::Result;
use cxr::embedding::EmbeddingReference;
use cxr::{AffineCalibration, DecisionPolicy};
use runtime::Session;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OnSelect {
    pub(crate) maps: MapFigures,
    /// Images out of distribution, and all images of the class.
    pub(crate) referred_positive: [usize; 2],
    pub(crate) referred_negative: [usize; 2],
}

pub(crate) fn measure(
    session: &mut Session,
    pixels: &Pixels,
    calibration: AffineCalibration,
    policy: &DecisionPolicy,
    embedding: &EmbeddingReference,
) -> Result<OnSelect> {
    let meter = Meter::new("select", pixels.len());
    let mut peaks = Vec::with_capacity(pixels.len());
    let mut referred = [[0; 2]; 2];
    for (position, positive) in pixels.positive().into_iter().enumerate() {
        let outputs = session.run(pixels.image(position), 1)?;
        let probability = calibration.apply(f64::from(outputs.logits[0])).value();
        let flagged = probability >= policy.threshold;
        peaks.push(Peak::of(&outputs.cam, outputs.cam_size, positive, flagged));
        let is_ood = embedding.locate(&outputs.embedding)?.ood_score > policy.ood_threshold;
        let [k, n] = &mut referred[usize::from(positive)];
        *k += usize::from(is_ood);
        *n += 1;
        meter.advance(1, String::new);
    }
    let [referred_negative, referred_positive] = referred;
    let found = OnSelect { maps: MapFigures::of(&peaks), referred_positive, referred_negative };
    say(found.maps.to_string());
    say(found.referred());
    Ok(found)
}

impl OnSelect {
    pub(crate) fn referred(&self) -> String {
        let ([positive, n_positive], [negative, n_negative]) =
            (self.referred_positive, self.referred_negative);
        format!(
            "On the select fold, {} of {} images are referred as out of distribution: {positive} of {n_positive} positives, {negative} of {n_negative} negatives",
            positive + negative,
            n_positive + n_negative
        )
    }

    pub(crate) fn referred_section(&self) -> String {
        format!(
            "{REFERRED}\n{}.\nThey get no class and no probability; the figures at the operating point nevertheless count them.\n",
            self.referred()
        )
    }
}

pub(crate) const REFERRED: &str = "### Referred images\n";
