//! Shortcut probes: what a verdict owes to places that hold no lung.

use super::condition::{Condition, Ground};
use super::corruption::{corners, frame};
use crate::dataset::augment::{self, Marks, Raw, Variation, generator};
use crate::dataset::pixels::Pixels;
use crate::logistic;
use crate::score::{grey_nchw, score_images};
use crate::trained::TrainedRun;
use anyhow::{Context, Result};
use cxr::bundle::Measured;
use cxr::scoring::bootstrap::interval95;
use cxr::scoring::roc::auc;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Share of the side that a corner square and a frame take.
pub const CORNER: f64 = 0.25;
/// Share of the side that a frame takes on each edge.
pub const FRAME: f64 = 0.125;

/// What the probes found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probes {
    /// The network on masked, swapped and marked images, by name.
    pub network: BTreeMap<String, Condition>,
    /// Area under the curve of a logistic regression that sees nothing but grey levels of the frame, fitted on the train
    /// fold, judged on select.
    pub border_statistics: Measured,
    /// Area under the curve of one property of the untouched originals alone, by name; either direction counts.
    pub originals: BTreeMap<String, Measured>,
}

/// Names and meanings of the network's probes.
pub const NETWORK: [(&str, &str); 6] = [
    ("corners masked", "squares of a quarter of the side in the corners are mid grey"),
    ("frame masked", "an eighth of the side along every edge is mid grey"),
    ("frame only", "all but that frame is mid grey"),
    ("centre masked", "the middle half of each side is mid grey"),
    ("frame swapped", "the frame comes from an image of the other class"),
    ("letters added", "two rows of burned-in letters"),
];

/// The network under one probe.
pub(super) fn condition(
    name: &str,
    trained: &TrainedRun,
    pixels: &Pixels,
    ground: &Ground,
) -> Result<Condition> {
    let seed = trained.config.seed;
    let partners = partners(&ground.positive, seed);
    let logits = score_images(&trained.network, pixels.len(), |positions| {
        let images = grey_nchw(pixels, positions, trained.device);
        let masked = |mask: &Tensor| images.masked_fill(mask, 128.0);
        Ok(match name {
            "corners masked" => masked(&corners(&images, CORNER)),
            "frame masked" => masked(&frame(&images, FRAME)),
            "frame only" => masked(&frame(&images, FRAME).logical_not()),
            "centre masked" => masked(&frame(&images, 0.25).logical_not()),
            "frame swapped" => {
                let others: Vec<usize> = positions.iter().map(|i| partners[*i]).collect();
                grey_nchw(pixels, &others, trained.device).where_self(&frame(&images, FRAME), &images)
            }
            "letters added" => {
                let variation = |i: &usize| {
                    let plain = Variation::none(generator(seed, 3_000_000, *i).random());
                    Variation { marks: Marks { letters: 2, ..plain.marks }, ..plain }
                };
                let variations = positions.iter().map(variation).collect();
                augment::apply(&Raw::gather(pixels, positions, variations), trained.device)
            }
            other => anyhow::bail!("no probe is called {other:?}"),
        })
    })?;
    ground.judge(&logits)
}

/// For each image one of the other class, the same for the same seed.
fn partners(positive: &[bool], seed: u64) -> Vec<usize> {
    let of = |class: bool| (0..positive.len()).filter(move |i| positive[*i] == class).collect::<Vec<_>>();
    let (negatives, positives) = (of(false), of(true));
    let pick = |(i, class): (usize, &bool)| {
        let others = if *class { &negatives } else { &positives };
        others[generator(seed, 3_100_000, i).random_range(0..others.len())]
    };
    positive.iter().enumerate().map(pick).collect()
}

/// Mean and standard deviation of the four corners and the four edges between them: 16 values an image.
fn border_features(pixels: &Pixels) -> Tensor {
    let positions: Vec<usize> = (0..pixels.len()).collect();
    let parts: Vec<Tensor> = positions
        .chunks(256)
        .map(|positions| {
            let images = grey_nchw(pixels, positions, Device::Cpu) / 255.0;
            let (height, width) = (images.size()[2], images.size()[3]);
            let (down, across) = (height / 8, width / 8);
            let spans =
                |side: i64, inset: i64| [(0, inset), (inset, side - 2 * inset), (side - inset, inset)];
            let mut features = Vec::new();
            for (row, (y, h)) in spans(height, down).into_iter().enumerate() {
                for (column, (x, w)) in spans(width, across).into_iter().enumerate() {
                    if (row, column) != (1, 1) {
                        let patch = images.narrow(2, y, h).narrow(3, x, w).flatten(1, -1);
                        features.push(patch.mean_dim([1i64].as_slice(), false, Kind::Float));
                        features.push(patch.std_dim([1i64].as_slice(), false, false));
                    }
                }
            }
            Tensor::stack(&features, 1)
        })
        .collect();
    Tensor::cat(&parts, 0).to_kind(Kind::Double)
}

/// How well the frame's grey levels alone tell the classes.
pub(super) fn border_statistics(train: &Pixels, select: &Pixels, ground: &Ground) -> Result<Measured> {
    let model = logistic::fit(&border_features(train), &train.positive(), 1.0)?;
    let scores = model.logits(&border_features(select))?;
    rank(&scores, &ground.positive, &ground.patients, ground.resamples, ground.seed)
}

/// The larger of the area under the curve and its complement: a property tells the classes apart in either direction.
pub(super) fn rank(
    scores: &[f64],
    positive: &[bool],
    patients: &[usize],
    resamples: usize,
    seed: u64,
) -> Result<Measured> {
    let value = auc(scores, positive).context("one class")?;
    let sign = if value < 0.5 { -1.0 } else { 1.0 };
    let signed: Vec<f64> = scores.iter().map(|score| sign * score).collect();
    let figure = |images: &[usize]| {
        let s: Vec<f64> = images.iter().map(|i| signed[*i]).collect();
        let y: Vec<bool> = images.iter().map(|i| positive[*i]).collect();
        auc(&s, &y)
    };
    let ci95 = interval95(patients, resamples, seed, figure).context("no interval")?;
    Ok(Measured { value: value.max(1.0 - value), ci95, n: scores.len() })
}

/// What the headers of the untouched originals tell of their class.
pub(super) fn originals(trained: &TrainedRun) -> Result<BTreeMap<String, Measured>> {
    let Some(root) = trained.config.export.originals.as_deref().filter(|root| root.is_dir()) else {
        return Ok(BTreeMap::new());
    };
    let index = crate::dataset::index::Index::scan(root)?;
    let mut properties: [(&str, Vec<f64>); 3] =
        [("aspect ratio", Vec::new()), ("short side", Vec::new()), ("colour", Vec::new())];
    for entry in &index.entries {
        let bytes = std::fs::read(root.join(&entry.path)).with_context(|| entry.path.clone())?;
        let image = cxr::decode(&bytes, &cxr::DecodeLimits::default()).with_context(|| entry.path.clone())?;
        let (width, height) = (f64::from(image.width()), f64::from(image.height()));
        properties[0].1.push(width / height);
        properties[1].1.push(width.min(height));
        properties[2].1.push(f64::from(u8::from(is_colour_jpeg(&bytes))));
    }
    let positive: Vec<bool> = index.entries.iter().map(|entry| entry.positive).collect();
    let patients: Vec<usize> = (0..positive.len()).collect();
    let (resamples, seed) = (trained.config.evaluation.resamples, trained.config.seed);
    properties
        .into_iter()
        .map(|(name, values)| Ok((name.to_owned(), rank(&values, &positive, &patients, resamples, seed)?)))
        .collect()
}

/// Whether a JPEG file's frame header names three components.
fn is_colour_jpeg(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some([0xff, marker, high, low]) = bytes.get(at..at + 4) {
        if matches!(marker, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb) {
            return bytes.get(at + 9) == Some(&3);
        }
        at += 2 + usize::from(u16::from_be_bytes([*high, *low]));
    }
    false
}
