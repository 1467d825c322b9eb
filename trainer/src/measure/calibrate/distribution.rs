//! Detection of out-of-distribution images. The score was chosen on altered radiographs and one half of the
//! configured out-of-distribution images; the other half evaluates it.

use crate::data::loose::{Loose, LooseImage};
use crate::data::pixels::Pixels;
use crate::data::scan::files_below;
use crate::progress::say;
use crate::train::score::{Scores, score_grey};
use crate::train::trained::TrainedRun;
use anyhow::Result;
use cxr::analysis::scoring::proportion::Proportion;
use cxr::bundle::sha256_hex;
use cxr::embedding::{EmbeddingReference, OodScore};
use cxr::reference::Quantiles;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const N_ALTERED: usize = 100;

/// Every candidate for the score, with the configured percentile of the calibrate fold as its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OodAnalysis {
    pub score: OodScore,
    pub percentile: usize,
    pub candidates: Vec<OodScoreResult>,
    /// `None` if no folder of out-of-distribution images is configured or found.
    pub foreign: Option<Foreign>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OodScoreResult {
    pub score: OodScore,
    pub threshold: f64,
    /// Flagged images of the select fold: false positives.
    pub select: Proportion,
    /// Flagged images among altered ones of the select fold, by the alteration.
    pub altered: BTreeMap<String, Proportion>,
    /// Flagged out-of-distribution images among those scored, in the half on which the score was chosen.
    pub development: Option<Proportion>,
    pub held_out: Option<Proportion>,
    pub all: Option<Proportion>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreign {
    pub n: usize,
    pub refused: usize,
    /// Rejected, or flagged by the score in use.
    pub caught: Proportion,
    pub images: BTreeMap<String, ForeignImage>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignImage {
    /// Whether it belongs to the half on which the score was chosen.
    pub development: bool,
    pub refused: Option<String>,
    pub ood_score: Option<f64>,
    pub flagged: bool,
}

pub(super) fn analyse(
    trained: &TrainedRun,
    reference: &EmbeddingReference,
    calibrate: &Scores,
    (select_pixels, select): (&Pixels, &Scores),
) -> Result<OodAnalysis> {
    let foreign = foreign(trained)?;
    let altered = altered(trained, select_pixels)?;
    let percentile = trained.config.calibration.ood_percentile;
    let mut candidates = Vec::new();
    for score in [OodScore::Mahalanobis, OodScore::Residual] {
        let reference = EmbeddingReference { score, ..reference.clone() };
        let threshold = threshold(&scores_of(&reference, &calibrate.embeddings)?, percentile);
        let flags = |scores: &Scores| -> Result<Vec<bool>> {
            Ok(scores_of(&reference, &scores.embeddings)?.iter().map(|score| *score > threshold).collect())
        };
        let flagged_foreign = foreign.as_ref().map(|(loose, scores)| {
            let flags = flags(scores)?;
            let half = |development: bool| {
                let of_half = |(image, _): &(&LooseImage, &bool)| is_development(&image.path) == development;
                Proportion::of(loose.images.iter().zip(&flags).filter(of_half).map(|(_, flag)| *flag))
            };
            anyhow::Ok([half(true), half(false), Proportion::of(flags.iter().copied())])
        });
        let [development, held_out, all] =
            flagged_foreign.transpose()?.map_or([None; 3], |shares| shares.map(Some));
        let flagged =
            |(name, scores): &(&str, Scores)| Ok(((*name).to_owned(), Proportion::of(flags(scores)?)));
        candidates.push(OodScoreResult {
            score,
            threshold,
            select: Proportion::of(flags(select)?),
            altered: altered.iter().map(flagged).collect::<Result<_>>()?,
            development,
            held_out,
            all,
        });
    }
    let used = candidates.iter().find(|result| result.score == reference.score);
    let threshold = used.map_or(f64::INFINITY, |used| used.threshold);
    let foreign =
        foreign.map(|(loose, scores)| describe(&loose, &scores, reference, threshold)).transpose()?;
    Ok(OodAnalysis { score: reference.score, percentile, candidates, foreign })
}

pub(crate) fn scores_of(reference: &EmbeddingReference, embeddings: &[Vec<f32>]) -> Result<Vec<f64>> {
    embeddings.iter().map(|embedding| Ok(reference.locate(embedding)?.ood_score)).collect()
}

/// A percentile of the scores; infinite without scores.
pub(crate) fn threshold(scores: &[f64], percentile: usize) -> f64 {
    Quantiles::of(scores).map_or(f64::INFINITY, |quantiles| quantiles.0[percentile])
}

/// Divides by the first byte of the path's SHA-256, so that an image stays in its half.
fn is_development(path: &str) -> bool {
    // The second hexadecimal digit is the byte's lower half.
    b"02468ace".contains(&sha256_hex(path.as_bytes()).as_bytes()[1])
}

fn foreign(trained: &TrainedRun) -> Result<Option<(Loose, Scores)>> {
    let Some(root) = trained.config.calibration.ood_images.as_ref().filter(|root| root.is_dir()) else {
        say(
            "out-of-distribution images: not measured; trainer.calibration.ood_images is not an existing folder",
        );
        return Ok(None);
    };
    let loose = Loose::read(root, &files_below(root, "")?, &trained.recipe())?;
    let images: Vec<&[u8]> = loose.images.iter().map(|image| image.pixels.as_slice()).collect();
    let scores =
        score_grey(&trained.network, &images, loose.size, trained.device, "out-of-distribution images")?;
    Ok(Some((loose, scores)))
}

fn describe(
    loose: &Loose,
    scores: &Scores,
    reference: &EmbeddingReference,
    threshold: f64,
) -> Result<Foreign> {
    let mut images = BTreeMap::new();
    let mut insert = |path: &str, refused: Option<String>, ood_score: Option<f64>| {
        let flagged = ood_score.is_some_and(|score| score > threshold);
        let image = ForeignImage { development: is_development(path), refused, ood_score, flagged };
        images.insert(path.to_owned(), image);
    };
    for rejected in &loose.refused {
        insert(&rejected.path, Some(rejected.reason.to_owned()), None);
    }
    for (image, score) in loose.images.iter().zip(scores_of(reference, &scores.embeddings)?) {
        insert(&image.path, None, Some(score));
    }
    let caught = images.values().map(|image| image.refused.is_some() || image.flagged);
    Ok(Foreign { n: images.len(), refused: loose.refused.len(), caught: Proportion::of(caught), images })
}

/// Images of the select fold that no longer show a patient as a radiograph does.
fn altered(trained: &TrainedRun, pixels: &Pixels) -> Result<Vec<(&'static str, Scores)>> {
    let (width, height) = (pixels.size.0 as usize, pixels.size.1 as usize);
    let from = |place: &dyn Fn(usize, usize) -> (usize, usize), image: &[u8]| -> Vec<u8> {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        places.map(|(x, y)| place(x, y)).map(|(x, y)| image[y * width + x]).collect()
    };
    let turned = |x: usize, y: usize| (y * width / height, height - 1 - x * height / width);
    // The four quarters swap diagonally.
    let tiles = |x: usize, y: usize| ((x + width / 2) % width, (y + height / 2) % height);
    let ways: [(&'static str, &dyn Fn(&[u8]) -> Vec<u8>); 4] = [
        ("inverted", &|image| image.iter().map(|level| 255 - level).collect()),
        ("upside down", &|image| from(&|x, y| (x, height - 1 - y), image)),
        ("quarter turn", &|image| from(&turned, image)),
        ("quarters swapped", &|image| from(&tiles, image)),
    ];
    let n = pixels.len().min(N_ALTERED);
    // Evenly spread over the fold, which is sorted by path.
    let positions: Vec<usize> = (0..n).map(|i| i * pixels.len() / n).collect();
    let score = |(name, way): (&'static str, &dyn Fn(&[u8]) -> Vec<u8>)| -> Result<_> {
        let images: Vec<Vec<u8>> = positions.iter().map(|i| way(pixels.image(*i))).collect();
        let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        Ok((name, score_grey(&trained.network, &images, pixels.size, trained.device, name)?))
    };
    ways.into_iter().map(score).collect()
}
