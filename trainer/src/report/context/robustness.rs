//! Derived values of section 6 and the findings.

use super::Results;
use crate::measure::robustness::Robustness;
use crate::measure::robustness::corruptions::CorruptionSuite;
use crate::measure::robustness::figures::Figures;
use crate::measure::robustness::probes::{BORDER_ONLY, Probes};
use crate::report::sources::{Found, Sources};
use cxr::analysis::drift::{kolmogorov_smirnov, stability_index};
use cxr::bundle::Measured;
use cxr::reference::Quantiles;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

const NOTABLE_LOSS: f64 = 0.02;
/// A probe predicts the class if the interval of its AUC begins at or above this.
const PREDICTIVE_AUC: f64 = 0.55;
/// Probes that hide the lungs, for which a low AUC is right.
const HIDING: [&str; 2] = [BORDER_ONLY, "centre masked"];

pub(super) fn add(sources: &Sources, results: &mut Results) {
    let robustness = sources.robustness.as_ref();
    let corruptions = part(robustness, |found| found.corruptions.as_ref());
    let probes = part(robustness, |found| found.probes.as_ref());
    results.add("hardest", corruptions.clone().and_then(|suite| hardest(suite, robustness)));
    results.add("shortcut", probes.clone().and_then(shortcut));
    results.add("robustness", robustness);
    results.add("corruptions", corruptions);
    results.add("probes", probes);
    results.add("mitigations", part(robustness, |found| found.mitigations.as_ref()));
    results.add("shift", shift(sources));
}

/// A part of the file, or why it is missing.
fn part<'a, T>(
    robustness: Result<&'a Robustness, &String>,
    get: fn(&'a Robustness) -> Option<&'a T>,
) -> Found<&'a T> {
    let left_out = || "`cxr-trainer robustness` was told to leave them out".to_owned();
    get(robustness.map_err(Clone::clone)?).ok_or_else(left_out)
}

/// The corruptions that cost most.
fn hardest(suite: &CorruptionSuite, robustness: Result<&Robustness, &String>) -> Found<Value> {
    let clean = robustness.map_err(Clone::clone)?.clean.auc.value;
    let lowest = |get: fn(&Figures) -> &Measured| {
        let results = suite.results.iter();
        let lowest = results.min_by(|a, b| get(&a.figures).value.total_cmp(&get(&b.figures).value));
        lowest.ok_or("no corruption was measured")
    };
    Ok(json!({
        "auc": lowest(|figures| &figures.auc)?,
        "sensitivity": lowest(|figures| &figures.sensitivity)?,
        "specificity": lowest(|figures| &figures.specificity)?,
        "notable_loss": NOTABLE_LOSS,
        "n_notable": suite.results.iter().filter(|r| clean - r.figures.auc.value > NOTABLE_LOSS).count(),
    }))
}

/// The border alone, the most costly change outside of the lungs, and the best probe without the network.
fn shortcut(probes: &Probes) -> Found<Value> {
    let others = probes.changes.iter().filter(|probe| !HIDING.contains(&probe.name.as_str()));
    let worst = others.min_by(|a, b| a.auc_change.value.total_cmp(&b.auc_change.value));
    let classifiers = probes.classifiers.iter().filter_map(|probe| Some((probe.auc.as_ref()?, probe)));
    let best = classifiers.max_by(|a, b| a.0.value.total_cmp(&b.0.value));
    Ok(json!({
        "border": probes.changes.iter().find(|probe| probe.name == BORDER_ONLY),
        "worst": worst.ok_or("no change was measured")?,
        "classifier": best.map(|(_, probe)| probe),
        "is_predictive": best.is_some_and(|(auc, _)| is_predictive(auc)),
    }))
}

fn is_predictive(auc: &Measured) -> bool {
    auc.ci95[0] >= PREDICTIVE_AUC
}

/// The distance of each set's scores from those of calibrate.
fn shift(sources: &Sources) -> Found<Vec<Value>> {
    let of = |name: &str| scores(&sources.trained.run.file(&format!("scores-{name}.csv")));
    let calibrate = of("calibrate").ok_or("`cxr-trainer evaluate --fold calibrate` has not been run")?;
    let distance = |reference: &[f64], sample: &[f64]| {
        let quantiles = Quantiles::of(reference);
        json!({
            "ks": kolmogorov_smirnov(reference, sample),
            "psi": quantiles.and_then(|quantiles| stability_index(&quantiles, sample)),
        })
    };
    let sets = ["select", "test", "external"].into_iter().filter_map(|name| Some((name, of(name)?)));
    let rows = sets.map(|(name, found)| {
        json!({
            "name": name,
            "n": found.len(),
            "probability": distance(&column(&calibrate, |s| s.probability), &column(&found, |s| s.probability)),
            "ood_score": distance(&column(&calibrate, |s| s.ood_score), &column(&found, |s| s.ood_score)),
        })
    });
    Ok(rows.collect())
}

#[derive(Debug, Deserialize)]
struct Scored {
    probability: f64,
    ood_score: f64,
}

fn scores(file: &Path) -> Option<Vec<Scored>> {
    csv::Reader::from_path(file).ok()?.deserialize().collect::<Result<_, _>>().ok()
}

fn column(scores: &[Scored], get: fn(&Scored) -> f64) -> Vec<f64> {
    scores.iter().map(get).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::markdown;
    use minijinja::context;
    use minijinja::value::Serde;

    #[test]
    fn a_probe_within_chance_is_not_called_predictive() {
        let text = |value, low, high| {
            let auc = Measured { value, ci95: [low, high], n: 43 };
            let classifier = context! { name => "corner statistics", auc => Serde(auc) };
            let shortcut = context! { classifier, is_predictive => is_predictive(&auc) };
            let environment = markdown::environment(crate::report::TEMPLATES).unwrap();
            markdown::render(&environment, "without_network.md", context! { shortcut }).unwrap()
        };
        let chance = text(0.5543, 0.3643, 0.7323);
        assert!(chance.contains("nothing outside of the lungs predicts the class"), "{chance}");
        let strong = text(0.9, 0.85, 0.95);
        assert!(strong.contains("corner statistics alone predict the class with AUC 0.9000"), "{strong}");
    }
}
