//! Share of the positive evidence on the border and in the corners, compared with their share of the area.

use super::maps::{ConfusionCell, Maps};
use crate::markdown::measured;
use crate::measure::robustness::probes::{BORDER, CORNER};
use crate::measure::sample::mean;
use crate::progress::say;
use crate::train::trained::TrainedRun;
use cxr::analysis::corrupt::{Region, is_in};
use cxr::bundle::Measured;
use cxr::heatmap::upsample;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSaliency {
    /// `all`, a class or a cell of the confusion matrix.
    pub group: String,
    /// Images whose map has positive evidence.
    pub n: usize,
    pub n_without_evidence: usize,
    /// Mean share on the border; `None` for images of fewer than two patients.
    pub border: Option<Measured>,
    /// Mean share in the corners, likewise.
    pub corners: Option<Measured>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saliency {
    /// Width of the border, as a share of the side.
    pub border_width: f64,
    /// Share of the area on it.
    pub border_area: f64,
    /// Side of the corners, as a share of the side.
    pub corner_side: f64,
    /// Share of the area in them.
    pub corner_area: f64,
    /// Width and height of the maps before enlargement, the limit of their spatial resolution.
    pub map_size: (u32, u32),
    pub groups: Vec<GroupSaliency>,
}

pub(super) fn measure(trained: &TrainedRun, maps: &Maps) -> Saliency {
    let size = maps.pixels.size;
    let mask = |region: Region| -> Vec<bool> {
        (0..size.0 * size.1).map(|i| is_in(region, size, i % size.0, i / size.0)).collect()
    };
    let (border, corners) = (mask(Region::Border(BORDER)), mask(Region::Corners(CORNER)));
    let shares_of = |map: &Vec<f32>| {
        let map = upsample(map, maps.map_size, size);
        Some([share(&map, &border)?, share(&map, &corners)?])
    };
    let shares: Vec<Option<[f64; 2]>> = maps.maps.iter().map(shares_of).collect();
    let resampling = (trained.config.evaluation.resamples, trained.config.seed);
    let group = |name: &str, contains: &dyn Fn(usize) -> bool| {
        let members: Vec<usize> = (0..shares.len()).filter(|image| contains(*image)).collect();
        let (found, patients): (Vec<[f64; 2]>, Vec<usize>) =
            members.iter().filter_map(|image| Some((shares[*image]?, maps.patients[*image]))).unzip();
        let measured = |column: usize| {
            let values: Vec<f64> = found.iter().map(|shares| shares[column]).collect();
            mean(&values, &patients, resampling)
        };
        GroupSaliency {
            group: name.to_owned(),
            n: found.len(),
            n_without_evidence: members.len() - found.len(),
            border: measured(0),
            corners: measured(1),
        }
    };
    let mut groups = vec![
        group("all", &|_| true),
        group("negative", &|image| !maps.positive[image]),
        group("positive", &|image| maps.positive[image]),
    ];
    groups.extend(ConfusionCell::ALL.map(|cell| group(cell.name(), &|image| maps.cells[image] == cell)));
    let area = |mask: &[bool]| mask.iter().filter(|is_in| **is_in).count() as f64 / mask.len() as f64;
    let result = Saliency {
        border_width: BORDER,
        border_area: area(&border),
        corner_side: CORNER,
        corner_area: area(&corners),
        map_size: maps.map_size,
        groups,
    };
    print(&result);
    result
}

/// The share of a map's positive evidence under a mask; `None` without evidence.
fn share(map: &[f32], mask: &[bool]) -> Option<f64> {
    let total: f64 = map.iter().map(|value| f64::from(value.max(0.0))).sum();
    let inside: f64 =
        map.iter().zip(mask).filter(|(_, is_in)| **is_in).map(|(value, _)| f64::from(value.max(0.0))).sum();
    (total > 0.0 && total.is_finite()).then(|| inside / total)
}

fn print(saliency: &Saliency) {
    say(format!(
        "share of the evidence on the border (area {:.3}) and in the corners (area {:.3})",
        saliency.border_area, saliency.corner_area
    ));
    let shown = |share: &Option<Measured>| share.as_ref().map_or("not measured".to_owned(), measured);
    for group in &saliency.groups {
        say(format!(
            "  {:<16} {}  {}  n {}, {} without evidence",
            group.group,
            shown(&group.border),
            shown(&group.corners),
            group.n,
            group.n_without_evidence
        ));
    }
}
