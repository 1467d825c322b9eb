//! How many foreign images the out-of-distribution score finds, and how many known ones it disturbs. The score was chosen on
//! altered radiographs and one half of the foreign images; the other half judges it.

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

/// Select images that are altered.
const ALTERED: usize = 100;

/// What every candidate for the score finds; its threshold is the configured percentile of the calibrate fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OodAnalysis {
    /// The score in use.
    pub score: OodScore,
    /// Percentile of the calibrate fold that gave the threshold.
    pub percentile: usize,
    /// The candidates, the one in use among them.
    pub candidates: Vec<OodScoreResult>,
    /// Foreign images; none where no folder of them is configured or found.
    pub foreign: Option<Foreign>,
}

/// One score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OodScoreResult {
    /// Which one.
    pub score: OodScore,
    /// Flagged above this.
    pub threshold: f64,
    /// Select images flagged although they are known: false positives.
    pub select: Proportion,
    /// Altered select images flagged, by what was done to them.
    pub altered: BTreeMap<String, Proportion>,
    /// Foreign images flagged, of those scored: the half on which the score was chosen.
    pub development: Option<Proportion>,
    /// The other half.
    pub held_out: Option<Proportion>,
    /// Both.
    pub all: Option<Proportion>,
}

/// The foreign images one by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreign {
    /// Files found.
    pub n: usize,
    /// Refused by decoder or gate, before any score.
    pub refused: usize,
    /// Refused or flagged by the score in use: what no model's verdict is given for unquestioned.
    pub caught: Proportion,
    /// By path.
    pub images: BTreeMap<String, ForeignImage>,
}

/// What became of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignImage {
    /// Whether it belongs to the half on which the score was chosen.
    pub development: bool,
    /// The service's reason code where it is refused.
    pub refused: Option<String>,
    /// The score in use otherwise.
    pub ood_score: Option<f64>,
    /// Whether that is above the threshold.
    pub flagged: bool,
}

/// Measures every candidate.
///
/// # Errors
/// When a foreign image cannot be read or scored.
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
        let found = foreign.as_ref().map(|(loose, scores)| {
            let flags = flags(scores)?;
            let half = |development: bool| {
                let of_half = |(image, _): &(&LooseImage, &bool)| is_development(&image.path) == development;
                Proportion::of(loose.images.iter().zip(&flags).filter(of_half).map(|(_, flag)| *flag))
            };
            anyhow::Ok((half(true), half(false), Proportion::of(flags.iter().copied())))
        });
        let found = found.transpose()?;
        let flagged =
            |(name, scores): &(&str, Scores)| Ok(((*name).to_owned(), Proportion::of(flags(scores)?)));
        candidates.push(OodScoreResult {
            score,
            threshold,
            select: Proportion::of(flags(select)?),
            altered: altered.iter().map(flagged).collect::<Result<_>>()?,
            development: found.map(|found| found.0),
            held_out: found.map(|found| found.1),
            all: found.map(|found| found.2),
        });
    }
    let used = candidates.iter().find(|result| result.score == reference.score);
    let threshold = used.map_or(f64::INFINITY, |used| used.threshold);
    let foreign =
        foreign.map(|(loose, scores)| describe(&loose, &scores, reference, threshold)).transpose()?;
    Ok(OodAnalysis { score: reference.score, percentile, candidates, foreign })
}

/// Scores of embeddings.
///
/// # Errors
/// When their length is another than the reference's.
pub(crate) fn scores_of(reference: &EmbeddingReference, embeddings: &[Vec<f32>]) -> Result<Vec<f64>> {
    embeddings.iter().map(|embedding| Ok(reference.locate(embedding)?.ood_score)).collect()
}

/// The percentile of scores; infinite for none.
pub(crate) fn threshold(scores: &[f64], percentile: usize) -> f64 {
    Quantiles::of(scores).map_or(f64::INFINITY, |quantiles| quantiles.0[percentile])
}

/// A fixed half of the foreign images: those whose path's SHA-256 begins with an even byte. No change of the folder moves an
/// image across.
fn is_development(path: &str) -> bool {
    // The second hexadecimal digit is the byte's lower half.
    matches!(sha256_hex(path.as_bytes()).as_bytes()[1], b'0' | b'2' | b'4' | b'6' | b'8' | b'a' | b'c' | b'e')
}

fn foreign(trained: &TrainedRun) -> Result<Option<(Loose, Scores)>> {
    let Some(root) = trained.config.calibration.ood_images.as_ref().filter(|root| root.is_dir()) else {
        say("foreign images: not measured, trainer.calibration.ood_images names no folder");
        return Ok(None);
    };
    let loose = Loose::read(root, &files_below(root, "")?, &trained.recipe())?;
    let images: Vec<&[u8]> = loose.images.iter().map(|image| image.pixels.as_slice()).collect();
    let scores = score_grey(&trained.network, &images, loose.size, trained.device, "foreign images")?;
    Ok(Some((loose, scores)))
}

fn describe(
    loose: &Loose,
    scores: &Scores,
    reference: &EmbeddingReference,
    threshold: f64,
) -> Result<Foreign> {
    let mut images = BTreeMap::new();
    for refused in &loose.refused {
        let (development, reason) = (is_development(&refused.path), Some(refused.reason.to_owned()));
        let image = ForeignImage { development, refused: reason, ood_score: None, flagged: false };
        images.insert(refused.path.clone(), image);
    }
    for (image, score) in loose.images.iter().zip(scores_of(reference, &scores.embeddings)?) {
        let (development, flagged) = (is_development(&image.path), score > threshold);
        let found = ForeignImage { development, refused: None, ood_score: Some(score), flagged };
        images.insert(image.path.clone(), found);
    }
    let caught = images.values().map(|image| image.refused.is_some() || image.flagged);
    Ok(Foreign { n: images.len(), refused: loose.refused.len(), caught: Proportion::of(caught), images })
}

/// Select images that are radiographs no longer, or not as a patient lies: inverted, upside down, turned, cut into tiles.
fn altered(trained: &TrainedRun, pixels: &Pixels) -> Result<Vec<(&'static str, Scores)>> {
    let (width, height) = (pixels.size.0 as usize, pixels.size.1 as usize);
    let from = |place: &dyn Fn(usize, usize) -> (usize, usize), image: &[u8]| -> Vec<u8> {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        places.map(|(x, y)| place(x, y)).map(|(x, y)| image[y * width + x]).collect()
    };
    let turned = |x: usize, y: usize| (y * width / height, height - 1 - x * height / width);
    // The four quarters change places crosswise.
    let tiles = |x: usize, y: usize| ((x + width / 2) % width, (y + height / 2) % height);
    let ways: [(&'static str, &dyn Fn(&[u8]) -> Vec<u8>); 4] = [
        ("inverted", &|image| image.iter().map(|level| 255 - level).collect()),
        ("upside down", &|image| from(&|x, y| (x, height - 1 - y), image)),
        ("quarter turn", &|image| from(&turned, image)),
        ("quarters swapped", &|image| from(&tiles, image)),
    ];
    let n = pixels.len().min(ALTERED);
    // Evenly spread over the fold, whose order is that of its paths.
    let positions: Vec<usize> = (0..n).map(|i| i * pixels.len() / n).collect();
    let score = |(name, way): (&'static str, &dyn Fn(&[u8]) -> Vec<u8>)| -> Result<_> {
        let images: Vec<Vec<u8>> = positions.iter().map(|i| way(pixels.image(*i))).collect();
        let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        Ok((name, score_grey(&trained.network, &images, pixels.size, trained.device, name)?))
    };
    ways.into_iter().map(score).collect()
}
