//! Measurements of the weights for the model card's table. The technical report has the details.

use crate::measure::calibrate::Calibrated;
use crate::measure::evaluate::external::ExternalEvaluation;
use crate::measure::explain::Explanation;
use crate::measure::robustness::Robustness;
use crate::train::trained::TrainedRun;
use anyhow::Result;
use cxr::analysis::scoring::proportion::Proportion;
use cxr::bundle::Measured;

/// What was measured, and the value with its 95 % interval.
pub(super) type Line = (String, String);

/// Every measurement in the run directory that was made with these weights and this calibration.
pub(super) fn of(trained: &TrainedRun, calibrated: &Calibrated) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    if let Some(foreign) = calibrated.analysis.as_ref().and_then(|analysis| analysis.ood.foreign.as_ref()) {
        lines.push(line("images other than chest radiographs, refused or referred", share(&foreign.caught)));
    }
    if let Some(external) = ExternalEvaluation::load(trained, calibrated)? {
        let name = &external.name;
        lines.push(line(format!("{name}: AUC"), figure(&external.figures.auc)));
        lines.push(line(
            format!("{name}: referred, above the out-of-distribution threshold"),
            share(&external.details.out_of_distribution),
        ));
    }
    let robustness = Robustness::load(&trained.run.file(""))?;
    let robustness = robustness.filter(|found| found.weights_sha256 == trained.weights_sha256);
    if let Some(suite) = robustness.as_ref().and_then(|found| found.corruptions.as_ref()) {
        lines.push(line(
            format!("mean AUC under {} corruptions of select", suite.results.len()),
            figure(&suite.mean_auc),
        ));
        let worst = suite
            .results
            .iter()
            .min_by(|a, b| a.figures.specificity.value.total_cmp(&b.figures.specificity.value));
        if let Some(worst) = worst {
            let what = format!(
                "lowest specificity among them ({} at severity {})",
                worst.corruption.name(),
                worst.severity
            );
            lines.push(line(what, figure(&worst.figures.specificity)));
        }
    }
    for probe in
        robustness.iter().filter_map(|found| found.probes.as_ref()).flat_map(|probes| &probes.changes)
    {
        if ["only the border visible", "border of the other class"].contains(&probe.name.as_str()) {
            lines.push(line(format!("AUC, {}", probe.name), figure(&probe.auc)));
        }
    }
    let explanation = Explanation::load(trained.run, &trained.weights_sha256, calibrated.policy.threshold)?;
    let groups =
        explanation.iter().filter_map(|found| found.saliency.as_ref()).flat_map(|found| &found.groups);
    if let Some(border) = groups.filter(|group| group.group == "all").find_map(|group| group.border.as_ref())
    {
        lines.push(line("share of the evidence on the border, select", figure(border)));
    }
    Ok(lines)
}

fn line(what: impl Into<String>, value: String) -> Line {
    (what.into(), value)
}

fn figure(found: &Measured) -> String {
    let [low, high] = found.ci95;
    format!("{:.4}, {low:.4} to {high:.4}, n {}", found.value, found.n)
}

fn share(found: &Proportion) -> String {
    let [low, high] = found.ci95;
    format!("{} of {}, {low:.3} to {high:.3}", found.k, found.n)
}
