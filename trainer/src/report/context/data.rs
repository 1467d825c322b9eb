//! Derived values of sections 1 and 2.

use crate::data::eda::Eda;
use crate::data::eda::examined::{Properties, Shortcut};
use crate::data::entry::OfficialSplit;
use crate::data::screening::confounders::Confounder;
use crate::report::sources::Sources;
use cxr::PreprocessSpec;
use cxr::analysis::summary::Summary;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde_json::json;
use std::collections::BTreeMap;

pub(super) fn of(sources: &Sources) -> Value {
    let folds = &sources.trained.folds;
    let always = context! {
        n_images => folds.folds.values().map(Vec::len).sum::<usize>(),
        n_unreadable => folds.unreadable.len(),
        patients => sources.trained.index.patients.statement(),
        dataset_sha256 => &folds.dataset_sha256,
        folds_seed => folds.seed,
        is_flat => sources.eda.as_ref().is_ok_and(is_flat),
    };
    let Ok(eda) = &sources.eda else { return always };
    let served = sources.config().served_preprocess();
    context! {
        n_copies => eda.duplicates.exact.iter().map(|group| group.len() - 1).sum::<usize>(),
        unreadable_by_reason => Serde(by_reason(eda)),
        statistics => Serde(statistics(eda)),
        confounders => Serde(eda.confounders.iter().map(confounder).collect::<Vec<_>>()),
        shortcuts => Serde(eda.images.shortcuts.iter().map(shortcut).collect::<Vec<_>>()),
        are_stored_copies => eda.images.properties.values().all(|found| are_stored_copies(found, &served)),
        ..always
    }
}

fn is_flat(eda: &Eda) -> bool {
    eda.images.counts.keys().all(|part| part == OfficialSplit::None.name())
}

fn by_reason(eda: &Eda) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for reason in eda.unreadable.values() {
        *counts.entry(reason.as_str()).or_default() += 1;
    }
    counts
}

/// One row per statistic, one cell per class.
fn statistics(eda: &Eda) -> serde_json::Value {
    let by_class = &eda.images.statistics;
    let names: Vec<&String> =
        by_class.values().next().map(|first| first.keys().collect()).unwrap_or_default();
    let row = |name: &String| {
        let cells: Vec<Option<&Summary>> = by_class.values().map(|found| found.get(name)).collect();
        json!([name, cells])
    };
    json!({
        "classes": by_class.keys().collect::<Vec<_>>(),
        "rows": names.into_iter().map(row).collect::<Vec<_>>(),
    })
}

fn confounder(found: &Confounder) -> serde_json::Value {
    json!({
        "property": found.property,
        "source": found.source,
        "n_values": found.groups.len(),
        "auc": found.auc,
        "tells": found.is_confounder(),
        "one_class": found.one_class(),
    })
}

fn shortcut(found: &Shortcut) -> serde_json::Value {
    json!({
        "property": found.property,
        "strength": found.strength(),
        "direction": found.direction(),
        "negative_median": found.negative_median,
        "positive_median": found.positive_median,
    })
}

/// Whether the images are JPEG files of the size that is scored, which training does not compress again.
fn are_stored_copies(found: &Properties, served: &PreprocessSpec) -> bool {
    let all_are = |sides: &Summary, side: u32| {
        (sides.min - f64::from(side)).abs() < 0.5 && (sides.max - f64::from(side)).abs() < 0.5
    };
    all_are(&found.width, served.width)
        && all_are(&found.height, served.height)
        && found.formats.keys().all(|format| format == "jpeg")
}
