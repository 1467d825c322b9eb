//! Shortcut probes: whether aspect ratio, size or colour mode of the originals predicts the class.

use super::classifier::{ClassifierProbe, classify};
use super::figures::Evaluator;
use super::model::ModelUnderTest;
use crate::data::index::Index;
use crate::measure::sample::numbered;
use anyhow::{Context, Result};
use cxr::DecodeLimits;
use cxr::image::ColourMode;

const NAMES: [&str; 4] =
    ["aspect ratio of originals", "short side of originals", "colour mode of originals", "all three"];

/// One probe per feature and one for all features together.
pub(super) fn probes(model: &ModelUnderTest) -> Result<Vec<ClassifierProbe>> {
    let Some((root, data)) = model.originals.as_ref().filter(|(root, _)| root.is_dir()) else {
        let absent = |name: &str| ClassifierProbe {
            name: name.to_owned(),
            n_features: 0,
            auc: None,
            not_measured: Some("trainer.export.originals names no folder".to_owned()),
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
    let patients = numbered(index.entries.iter().map(|entry| (entry.positive, entry.patient.as_str())));
    let positive = index.entries.iter().map(|entry| entry.positive).collect();
    let evaluator = Evaluator { positive, patients, ..model.evaluator.clone() };
    let column = |j: usize| rows.iter().map(|row| vec![row[j]]).collect::<Vec<_>>();
    let mut probes: Vec<_> = (0..3).map(|j| classify(NAMES[j], &column(j), &evaluator)).collect();
    probes.push(classify(NAMES[3], &rows, &evaluator));
    Ok(probes)
}
