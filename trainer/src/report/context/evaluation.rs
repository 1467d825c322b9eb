//! Derived values of section 4 and the summary.

use super::Results;
use crate::data::folds::Fold;
use crate::measure::evaluate::subgroups::Subgroup;
use crate::measure::sample_size::with_wider_interval;
use crate::report::sources::Sources;
use cxr::bundle::Measured;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde_json::json;
use std::collections::BTreeMap;

/// Least number of images of a group that can be reported as the worst.
const LARGE_GROUP: usize = 20;

pub(super) fn add(sources: &Sources, results: &mut Results) {
    for (name, fold) in [("test", Fold::Test), ("select", Fold::Select), ("calibrate", Fold::Calibrate)] {
        results.add(name, sources.evaluation(fold));
    }
    let title = |fold: Fold| if fold == Fold::Test { sources.census.test_name() } else { fold.name() };
    let measured: Vec<Value> = [Fold::Test, Fold::Select, Fold::Calibrate]
        .into_iter()
        .filter_map(|fold| sources.evaluation(fold).ok())
        .map(|file| {
            context! {
                title => title(file.fold),
                missed => Serde(worst_group(&file.details.subgroups, |group| group.sensitivity)),
                alarmed => Serde(worst_group(&file.details.subgroups, |group| group.specificity)),
                ..Value::from(Serde(file))
            }
        })
        .collect();
    let missing = sources
        .evaluations
        .iter()
        .filter_map(|(fold, found)| found.as_ref().err().map(|why| context! { title => title(*fold), why }));
    results.known.insert("unevaluated", missing.collect());
    results.known.insert("evaluated", measured.into());
    results.known.insert("large_group", LARGE_GROUP.into());
    results.known.insert("lower_on_test", lower_on_test(sources).into());
    let external =
        sources.external.as_ref().map(|file| context! { fold => "external", ..Value::from(Serde(file)) });
    results.add("external", external);
    let resplit = sources.resplit.as_ref().map(|resplit| {
        let images = resplit.split.counts.get(&Fold::Test).into_iter().flatten();
        let images: BTreeMap<_, _> = images.map(|(class, count)| (class, count.images)).collect();
        context! { images => Serde(images), figures => Serde(&resplit.test.figures) }
    });
    results.add("resplit", resplit);
}

/// Figures whose interval on the test fold lies below the one on select.
fn lower_on_test(sources: &Sources) -> Vec<&'static str> {
    let (Ok(select), Ok(test)) = (sources.evaluation(Fold::Select), sources.evaluation(Fold::Test)) else {
        return Vec::new();
    };
    let (s, t) = (&select.figures, &test.figures);
    let figures = [
        ("AUC", &t.auc, &s.auc),
        ("sensitivity", &t.sensitivity, &s.sensitivity),
        ("specificity", &t.specificity, &s.specificity),
    ];
    figures.into_iter().filter(|(_, t, s)| t.ci95[1] < s.ci95[0]).map(|(name, ..)| name).collect()
}

fn worst_group(groups: &[Subgroup], get: fn(&Subgroup) -> Option<Measured>) -> Option<serde_json::Value> {
    let large =
        groups.iter().filter_map(|group| Some((group, get(group).filter(|found| found.n >= LARGE_GROUP)?)));
    let (worst, figure) = large.min_by(|(_, a), (_, b)| a.value.total_cmp(&b.value))?;
    // In a small group, the bootstrap interval can have no width.
    let (figure, method) = with_wider_interval(&figure, figure.n);
    let Subgroup { property, group, .. } = worst;
    Some(json!({ "property": property, "group": group, "figure": figure, "method": method.to_string() }))
}
