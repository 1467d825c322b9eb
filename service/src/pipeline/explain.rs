//! The heatmap of an answer: drawn where one is asked for, and withheld where it would claim what the answer does not.

use super::examine::Failure;
use super::{Case, Pipeline};
use cxr::decide::Verdict;
use cxr::heatmap::{ColourScale, Evidence, legend, render};
use cxr::preprocess::Geometry;

/// What an answer says about the heatmap.
#[derive(Debug)]
pub enum Explanation {
    /// None is asked for.
    NotAsked,
    /// One is asked for and not given.
    Withheld(Withheld),
    /// One is given.
    Drawn(Drawn),
}

/// Two pictures, as PNG.
#[derive(Debug)]
pub struct Drawn {
    /// Lies over the original.
    pub heatmap: Vec<u8>,
    /// Says what the colours mean; to be shown beside it.
    pub legend: Vec<u8>,
}

/// Why no heatmap is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// The decision is `refer`: evidence for a class that the answer does not name.
    Referred,
    /// The bundle, or the row that the answer is made from again, has no colour scale.
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
pub(super) struct Map {
    pub(super) cam: Vec<f32>,
    pub(super) size: (u32, u32),
    pub(super) scale: Option<ColourScale>,
    pub(super) verdict: Verdict,
}

impl Map {
    /// The scale that it is to be drawn on.
    pub(super) fn scale(&self) -> Result<ColourScale, Withheld> {
        if !self.verdict.names_a_class() {
            return Err(Withheld::Referred);
        }
        self.scale.ok_or(Withheld::NoScale)
    }
}

impl Pipeline {
    /// Draws a map where a heatmap is asked for. Before the row is written, so that nothing can break after it.
    pub(super) async fn explain(
        &self,
        case: &Case,
        map: Map,
        geometry: Geometry,
    ) -> Result<Explanation, Failure> {
        if !case.explain {
            return Ok(Explanation::NotAsked);
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
