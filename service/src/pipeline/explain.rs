//! The heatmap of an answer: drawn on request, and withheld if it would show evidence for a class that the
//! answer does not name.

use super::examine::Failure;
use super::{Case, Pipeline};
use cxr::decide::DecisionKind;
use cxr::heatmap::{ColourScale, Evidence, legend, render};
use cxr::preprocess::Geometry;

#[derive(Debug)]
pub enum Explanation {
    NotRequested,
    Withheld(Withheld),
    Drawn(Drawn),
}

/// Two images in PNG.
#[derive(Debug)]
pub struct Drawn {
    /// To overlay on the original image.
    pub heatmap: Vec<u8>,
    /// Explains the colours; to show beside the heatmap.
    pub legend: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    Referred,
    /// The bundle, or the row of a replayed answer, has no colour scale.
    NoScale,
}

impl Withheld {
    /// The code in answers.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Referred => "referred",
            Self::NoScale => "no_scale",
        }
    }
}

/// A class activation map with what decides whether it is drawn.
pub(super) struct ActivationMap {
    pub(super) cam: Vec<f32>,
    pub(super) size: (u32, u32),
    pub(super) scale: Option<ColourScale>,
    pub(super) kind: DecisionKind,
}

impl ActivationMap {
    pub(super) fn scale(&self) -> Result<ColourScale, Withheld> {
        if !self.kind.names_a_class() {
            return Err(Withheld::Referred);
        }
        self.scale.ok_or(Withheld::NoScale)
    }
}

impl Pipeline {
    /// Draws the heatmap before the row is committed, so that a failure is in the row.
    pub(super) async fn explain(
        &self,
        case: &Case,
        map: ActivationMap,
        geometry: Geometry,
    ) -> Result<Explanation, Failure> {
        if !case.submission.explain {
            return Ok(Explanation::NotRequested);
        }
        let scale = match map.scale() {
            Ok(scale) => scale,
            Err(why) => return Ok(Explanation::Withheld(why)),
        };
        let class = case.serving.model.positive_class().to_owned();
        let drawn = self.decoders.run(move |_| {
            let evidence = Evidence { cam: &map.cam, cam_size: map.size, scale, class: &class };
            Drawn { heatmap: render(&evidence, &geometry), legend: legend(scale, &class) }
        });
        drawn.await.map(Explanation::Drawn).map_err(Failure::Heatmap)
    }
}
