//! Whether aspect ratio, size and colour mode of the originals give the class away.

use super::classifier::{ClassifierProbe, classify};
use super::figures::Ruler;
use super::model::ModelUnderTest;
use crate::data::index::Index;
use anyhow::{Context, Result};
use cxr::DecodeLimits;
use cxr::image::ColourMode;
use std::collections::BTreeMap;

/// Figures of the originals and what they are called.
const NAMES: [&str; 4] =
    ["aspect ratio of originals", "short side of originals", "colour mode of originals", "all three"];

/// One probe a figure and one for all of them; without originals each says so.
///
/// # Errors
/// When an original cannot be read.
pub(super) fn probes(model: &ModelUnderTest) -> Result<Vec<ClassifierProbe>> {
    let Some((root, data)) = model.originals.as_ref().filter(|(root, _)| root.is_dir()) else {
        let absent = |name: &str| ClassifierProbe {
            name: name.to_owned(),
            n_features: 0,
            auc: None,
            not_measured: Some("trainer.export.originals is not a folder".to_owned()),
        };
        return Ok(NAMES.map(absent).into());
    };
    let index = Index::scan_part(root, data)?;
    let mut rows = Vec::new();
    for entry in &index.entries {
        let path = root.join(&entry.path);
        let bytes = std::fs::read(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let image = cxr::decode(&bytes, &DecodeLimits::default())
            .with_context(|| format!("{}: cannot be decoded", path.display()))?;
        let (width, height) = (f64::from(image.width()), f64::from(image.height()));
        let is_colour = f64::from(u8::from(image.colour() != ColourMode::Grey));
        rows.push(vec![width / height, width.min(height), is_colour]);
    }
    let mut numbers = BTreeMap::new();
    let patients = index
        .entries
        .iter()
        .map(|entry| {
            let next = numbers.len();
            *numbers.entry((entry.positive, entry.patient.clone())).or_insert(next)
        })
        .collect();
    let positive = index.entries.iter().map(|entry| entry.positive).collect();
    let ruler = Ruler { positive, patients, ..model.ruler.clone() };
    let column = |j: usize| rows.iter().map(|row| vec![row[j]]).collect::<Vec<_>>();
    let single = (0..3).map(|j| classify(NAMES[j], &column(j), &ruler));
    Ok(single.chain(std::iter::once(classify(NAMES[3], &rows, &ruler))).collect())
}
