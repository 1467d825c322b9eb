//! Where the maps lie: the share of the positive evidence on the border and in the corners, by class and by outcome, beside
//! the share of the area that those places take up. Evidence spread evenly has the area's share.

use super::maps::Maps;
use super::outcome::Outcome;
use crate::progress::say;
use crate::train::trained::TrainedRun;
use cxr::analysis::corrupt::{Region, is_in};
use cxr::analysis::scoring::bootstrap::interval95;
use cxr::bundle::Measured;
use cxr::heatmap::upsample;
use serde::{Deserialize, Serialize};

/// Width of the border, as a share of the side.
pub const BORDER: f64 = 0.1;
/// Side of a corner, as a share of the side.
pub const CORNER: f64 = 0.2;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSaliency {
    /// `all`, a class or an outcome.
    pub group: String,
    /// Images whose map has positive evidence somewhere.
    pub n: usize,
    /// Images without; they have no share.
    pub n_without_evidence: usize,
    /// Mean share on the border; none without images, or with those of one patient alone.
    pub border: Option<Measured>,
    /// Mean share in the corners likewise.
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
    /// Columns and rows of the maps before they were enlarged: no place is known better than one cell.
    pub map_size: (u32, u32),
    pub groups: Vec<GroupSaliency>,
}

/// A group's name and who belongs to it.
type Group<'a> = (String, Box<dyn Fn(usize) -> bool + 'a>);

pub(super) fn measure(trained: &TrainedRun, maps: &Maps) -> Saliency {
    let size = maps.pixels.size;
    let mask = |region: Region| -> Vec<bool> {
        (0..size.0 * size.1).map(|i| is_in(region, size, i % size.0, i / size.0)).collect()
    };
    let (border, corners) = (mask(Region::Border(BORDER)), mask(Region::Corners(CORNER)));
    let shares: Vec<Option<[f64; 2]>> = maps
        .maps
        .iter()
        .map(|map| {
            let map = upsample(map, maps.map_size, size);
            Some([share(&map, &border)?, share(&map, &corners)?])
        })
        .collect();
    let mut groups: Vec<Group> = vec![
        ("all".to_owned(), Box::new(|_| true)),
        ("negative".to_owned(), Box::new(|image| !maps.positive[image])),
        ("positive".to_owned(), Box::new(|image| maps.positive[image])),
    ];
    groups.extend(Outcome::ALL.map(|outcome| -> Group {
        (outcome.name().to_owned(), Box::new(move |image| maps.outcomes[image] == outcome))
    }));
    let evaluation = (trained.config.evaluation.resamples, trained.config.seed);
    let groups = groups.iter().map(|group| measure_group(group, &shares, &maps.patients, evaluation));
    let area = |mask: &[bool]| mask.iter().filter(|is_in| **is_in).count() as f64 / mask.len() as f64;
    let result = Saliency {
        border_width: BORDER,
        border_area: area(&border),
        corner_side: CORNER,
        corner_area: area(&corners),
        map_size: maps.map_size,
        groups: groups.collect(),
    };
    report(&result);
    result
}

/// The share of the positive part of a map that lies under a mask; none without a positive part.
fn share(map: &[f32], mask: &[bool]) -> Option<f64> {
    let total: f64 = map.iter().map(|value| f64::from(value.max(0.0))).sum();
    let inside: f64 =
        map.iter().zip(mask).filter(|(_, is_in)| **is_in).map(|(value, _)| f64::from(value.max(0.0))).sum();
    (total > 0.0 && total.is_finite()).then(|| inside / total)
}

fn measure_group(
    (name, belongs): &Group,
    shares: &[Option<[f64; 2]>],
    patients: &[usize],
    (resamples, seed): (usize, u64),
) -> GroupSaliency {
    let members: Vec<usize> = (0..shares.len()).filter(|image| belongs(*image)).collect();
    let (found, of_patients): (Vec<[f64; 2]>, Vec<usize>) =
        members.iter().filter_map(|image| Some((shares[*image]?, patients[*image]))).unzip();
    let measured = |column: usize| {
        let mean = |images: &[usize]| {
            (!images.is_empty())
                .then(|| images.iter().map(|i| found[*i][column]).sum::<f64>() / images.len() as f64)
        };
        let all: Vec<usize> = (0..found.len()).collect();
        Some(Measured {
            value: mean(&all)?,
            ci95: interval95(&of_patients, resamples, seed, mean)?,
            n: found.len(),
        })
    };
    GroupSaliency {
        group: name.clone(),
        n: found.len(),
        n_without_evidence: members.len() - found.len(),
        border: measured(0),
        corners: measured(1),
    }
}

fn report(saliency: &Saliency) {
    say(format!(
        "share of the evidence on the border (area {:.3}) and in the corners (area {:.3})",
        saliency.border_area, saliency.corner_area
    ));
    let shown = |measured: &Option<Measured>| {
        measured.map_or("not measured".to_owned(), |m| {
            format!("{:.3} [{:.3}, {:.3}]", m.value, m.ci95[0], m.ci95[1])
        })
    };
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
