//! Contact sheets of the data analysis: label suspects, near duplicates, images with artefacts.

use super::label_noise::LabelNoise;
use crate::config::Config;
use crate::data::entry::OfficialSplit;
use crate::data::index::Index;
use crate::data::recipe::Recipe;
use crate::data::screening::duplicates::Duplicates;
use crate::data::screening::survey::{Facts, Survey};
use crate::figures::contact_sheet;
use anyhow::{Context, Result};
use cxr::PreprocessSpec;

const COLUMNS: u32 = 6;
/// Largest number of tiles on a sheet.
const TILES: usize = 36;

/// The worst label suspects with the cross-validated probability of their label; none without suspects.
pub fn suspects(index: &Index, config: &Config, noise: &LabelNoise) -> Result<Option<Vec<u8>>> {
    sheet(
        index,
        config,
        noise.suspects.iter().map(|suspect| {
            let label = if suspect.positive { "positive" } else { "negative" };
            (suspect.path.as_str(), format!("{label}, own label {:.3}", suspect.self_confidence))
        }),
    )
}

/// By file name: near duplicates, marks, borders, extreme exposure; the last three without the test split.
pub fn findings(
    index: &Index,
    survey: &Survey,
    duplicates: &Duplicates,
    config: &Config,
) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let pairs = duplicates.near.iter().zip(1..).flat_map(|(pair, number)| {
        [&pair.first, &pair.second].map(|path| (path.as_str(), format!("pair {number}")))
    });
    let flagged = |of: fn(&Facts) -> bool| {
        let seen = index.entries.iter().zip(&survey.facts);
        let flagged = seen
            .filter(|(entry, facts)| entry.split != OfficialSplit::Test && facts.as_ref().is_some_and(of));
        let paths: Vec<(&str, String)> =
            flagged.map(|(entry, _)| (entry.path.as_str(), entry.class.clone())).collect();
        // Spread over the data set instead of its first patients.
        let step = paths.len().div_ceil(TILES).max(1);
        paths.into_iter().step_by(step).collect::<Vec<_>>()
    };
    let sheets = [
        ("eda-near-duplicates.png", sheet(index, config, pairs)?),
        ("eda-marks.png", sheet(index, config, flagged(|f| f.artefacts.marks > 0).into_iter())?),
        ("eda-borders.png", sheet(index, config, flagged(|f| f.artefacts.is_bordered()).into_iter())?),
        ("eda-exposure.png", sheet(index, config, flagged(|f| f.artefacts.extreme_exposure).into_iter())?),
    ];
    Ok(sheets.into_iter().filter_map(|(name, sheet)| sheet.map(|sheet| (name, sheet))).collect())
}

/// The first [`TILES`] images, numbered, each with its caption and name.
fn sheet<'a>(
    index: &Index,
    config: &Config,
    images: impl Iterator<Item = (&'a str, String)>,
) -> Result<Option<Vec<u8>>> {
    let preprocess = PreprocessSpec {
        width: contact_sheet::TILE,
        height: contact_sheet::TILE,
        ..PreprocessSpec::default()
    };
    let recipe = Recipe { acceptance: config.acceptance, preprocess };
    let tile = |(number, (path, caption)): (usize, (&str, String))| -> Result<contact_sheet::Tile> {
        let bytes = std::fs::read(index.root.join(path)).with_context(|| path.to_owned())?;
        let pixels = recipe.prepare(&bytes).with_context(|| path.to_owned())?.pixels().to_vec();
        let name = path.rsplit('/').next().unwrap_or(path);
        Ok(contact_sheet::Tile { pixels, label: [format!("{number}. {caption}"), name.to_owned()] })
    };
    let tiles = (1..).zip(images.take(TILES)).map(tile).collect::<Result<Vec<_>>>()?;
    Ok(contact_sheet::png(&tiles, COLUMNS))
}
