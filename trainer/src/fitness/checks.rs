//! The gates one by one: what is required, what was found, and how much more data a decision would take.

use super::{GateOutcome, GateResult};
use crate::config::gates::PerFold;
use crate::config::{Config, Gates};
use crate::data::census::{Census, FOLDS};
use crate::data::count::Count;
use crate::data::folds::Fold;
use crate::markdown::measured;
use crate::measure::calibrate::Calibrated;
use crate::measure::evaluate::EvaluationFile;
use crate::measure::evaluate::external::{ExternalEvaluation, why_not_measured};
use crate::measure::robustness::Robustness;
use crate::measure::robustness::probes::BORDER_ONLY;
use crate::measure::sample_size::{
    Classes, IntervalMethod, missing, more_for_auc, more_for_share, with_wider_interval,
};
use crate::train::trained::TrainedRun;
use anyhow::Result;
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::bundle::Measured;

const EVALUATE_TEST: &str = "evaluate --fold test --reason WHY";

/// The results of all gates, and the names of those that are not configured.
#[derive(Default)]
pub(super) struct Checks {
    pub(super) results: Vec<GateResult>,
    pub(super) not_asked: Vec<String>,
}

impl Checks {
    /// Adds a gate. `found` compares the figure with the bound; it returns `None` if the figure was not
    /// measured, and `how` says what measures it.
    fn gate<T: Copy>(
        &mut self,
        what: &str,
        (bound, asked): (Option<T>, impl Fn(T) -> String),
        how: impl Fn() -> String,
        found: impl Fn(T) -> Option<(String, GateOutcome)>,
    ) {
        let Some(bound) = bound else {
            return self.not_asked.push(what.trim_end_matches(':').to_owned());
        };
        let (found, outcome) =
            found(bound).unwrap_or_else(|| ("not measured".to_owned(), GateOutcome::NotMeasured(how())));
        self.results.push(GateResult { what: what.to_owned(), asked: asked(bound), found, outcome });
    }
}

pub(super) fn all(trained: &TrainedRun, calibrated: &Calibrated) -> Result<Checks> {
    let (config, census) = (trained.config, trained.census()?);
    let gates = &config.gates;
    let robustness = Robustness::load(&trained.run.file(""))?.filter(|found| {
        found.weights_sha256 == trained.weights_sha256
            && found.threshold.to_bits() == calibrated.policy.threshold.to_bits()
    });
    let sizes = Sizes { config, census: &census };
    let evaluation = |fold| EvaluationFile::load(trained, calibrated, fold);
    let test = evaluation(Fold::Test)?;
    let mut checks = Checks::default();
    counts(gates, &census, &mut checks);
    auc(gates, test.as_ref(), sizes, &mut checks);
    for (fold, file) in [(Fold::Select, evaluation(Fold::Select)?), (Fold::Test, test)] {
        decisions(config, fold, file.as_ref(), sizes, &mut checks);
    }
    external(config, ExternalEvaluation::load(trained, calibrated)?.as_ref(), &mut checks);
    corruptions(gates, robustness.as_ref(), &mut checks);
    probes(gates, robustness.as_ref(), &mut checks);
    Ok(checks)
}

fn counts(gates: &Gates, census: &Census, checks: &mut Checks) {
    let units: [(&str, &str, Option<PerFold>, fn(&Count) -> usize); 2] = [
        ("images", "min_images", gates.min_images, |count| count.images),
        ("patients", "min_patients", gates.min_patients, |count| count.patients),
    ];
    for (unit, key, least, of) in units {
        let Some(least) = least else {
            checks.not_asked.push(format!("the number of {unit} in each fold"));
            continue;
        };
        for fold in FOLDS {
            let least = match fold {
                Fold::Train => least.train,
                Fold::Select => least.select,
                Fold::Calibrate => least.calibrate,
                Fold::Test => least.test,
            };
            let [negative, positive] = census.of_fold(fold).map(|count| of(&count));
            let missing = missing([negative, positive], least);
            let more: Vec<String> = missing.iter().map(|(label, n)| format!("{n} more {label}")).collect();
            let outcome =
                if more.is_empty() { GateOutcome::Met } else { GateOutcome::NotEnough(more.join(" and ")) };
            checks.results.push(GateResult {
                what: format!("{unit} in the {} fold:", fold.name()),
                asked: format!("at least {least} of each class ({key})"),
                found: format!("{negative} negative, {positive} positive"),
                outcome,
            });
        }
    }
}

#[derive(Clone, Copy)]
struct Sizes<'a> {
    config: &'a Config,
    census: &'a Census,
}

impl Sizes<'_> {
    /// Sensitivity (`positive`) or specificity, with the interval that the gates use.
    fn share(&self, fold: Fold, file: &EvaluationFile, positive: bool) -> (Measured, IntervalMethod) {
        let figures = &file.figures;
        let share = if positive { figures.sensitivity } else { figures.specificity };
        let patients = self.census.of_fold(fold)[usize::from(positive)].patients;
        with_wider_interval(&share, patients)
    }

    /// How many images the fold lacks; if the fold is drawn, also how many the whole data set lacks.
    fn lacks(&self, fold: Fold, images: &[(usize, &str)]) -> String {
        let texts: Vec<String> = images
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, label)| format!("about {n} more {label} images"))
            .collect();
        let data = &self.config.data;
        let share = match fold {
            Fold::Select => Some(data.select_fraction),
            Fold::Calibrate => Some(data.calibrate_fraction),
            Fold::Test => Some(data.test_fraction).filter(|_| self.census.test_is_drawn),
            Fold::Train => None,
        };
        let n: usize = images.iter().map(|(n, _)| n).sum();
        let in_all = share.filter(|share| *share > 0.0).map_or_else(String::new, |share| {
            format!(" (about {:.0} in all, of which it gets {:.0} %)", n as f64 / share, share * 100.0)
        });
        format!("{} in the {} fold{in_all}", texts.join(" and "), fold.name())
    }
}

/// Compares the lower end of the interval with a bound.
fn at_least(figure: &Measured, bound: f64, more: impl Fn() -> Option<String>) -> GateOutcome {
    if figure.ci95[0] >= bound {
        GateOutcome::Met
    } else if figure.value < bound {
        GateOutcome::Failed
    } else {
        let too_near = || "too near the bound to tell with any realistic number of images".to_owned();
        GateOutcome::NotEnough(more().unwrap_or_else(too_near))
    }
}

fn met_if(met: bool) -> GateOutcome {
    if met { GateOutcome::Met } else { GateOutcome::Failed }
}

fn lower_bound(key: &str) -> impl Fn(f64) -> String {
    move |bound| format!("lower bound at least {bound} ({key})")
}

fn at_most(key: &str) -> impl Fn(f64) -> String {
    move |bound| format!("at most {bound} ({key})")
}

fn command(command: &str) -> impl Fn() -> String {
    move || format!("`cxr-trainer {command}` measures it")
}

fn class_sizes(confusion: &ConfusionMatrix) -> Classes {
    [
        (confusion.true_negatives + confusion.false_positives) as usize,
        (confusion.true_positives + confusion.false_negatives) as usize,
    ]
}

fn auc(gates: &Gates, test: Option<&EvaluationFile>, sizes: Sizes, checks: &mut Checks) {
    let asked = (gates.min_auc, lower_bound("min_auc"));
    checks.gate("AUC on the test fold", asked, command(EVALUATE_TEST), |bound| {
        let file = test?;
        let auc = &file.figures.auc;
        let more = || {
            let [negative, positive] = more_for_auc(auc, bound, class_sizes(&file.confusion))?;
            Some(sizes.lacks(Fold::Test, &[(negative, "negative"), (positive, "positive")]))
        };
        Some((measured(auc), at_least(auc, bound, more)))
    });
}

/// Sensitivity and specificity at the operating point, on a fold that did not choose it.
fn decisions(config: &Config, fold: Fold, file: Option<&EvaluationFile>, sizes: Sizes, checks: &mut Checks) {
    let gates = &config.gates;
    let how = command(if fold == Fold::Test { EVALUATE_TEST } else { "evaluate --fold select" });
    for (name, label, bound, key) in [
        ("sensitivity", "positive", gates.min_sensitivity, "min_sensitivity"),
        ("specificity", "negative", gates.min_specificity, "min_specificity"),
    ] {
        let what = format!("{name} on the {} fold", fold.name());
        checks.gate(&what, (bound, lower_bound(key)), &how, |bound| {
            let (share, method) = sizes.share(fold, file?, label == "positive");
            let more = || Some(sizes.lacks(fold, &[(more_for_share(&share, bound)?, label)]));
            Some((format!("{} ({method})", measured(&share)), at_least(&share, bound, more)))
        });
    }
    let what = format!("target sensitivity on the {} fold", fold.name());
    let target = gates.target_sensitivity.then_some(config.calibration.target_sensitivity);
    let asked = |target| format!("upper bound at least {target} (target_sensitivity)");
    checks.gate(&what, (target, asked), &how, |target| {
        let (share, method) = sizes.share(fold, file?, true);
        Some((format!("{} ({method})", measured(&share)), met_if(share.ci95[1] >= target)))
    });
}

fn external(config: &Config, file: Option<&ExternalEvaluation>, checks: &mut Checks) {
    let gate = config.gates.external;
    let name = file.map_or_else(String::new, |file| format!(" ({})", file.name.trim()));
    let what = format!("AUC on images from elsewhere{name}");
    if !gate.required {
        let known = file.map_or("not measured".to_owned(), |file| measured(&file.figures.auc));
        return checks.not_asked.push(format!("{what}: {known}"));
    }
    let asked = (Some(gate.min_auc), lower_bound("external.min_auc"));
    checks.gate(
        &what,
        asked,
        || why_not_measured(config),
        |bound| {
            let file = file?;
            let auc = &file.figures.auc;
            let more = || {
                let [negative, positive] = more_for_auc(auc, bound, class_sizes(&file.confusion))?;
                Some(format!("about {negative} more negative and {positive} more positive images from there"))
            };
            Some((measured(auc), at_least(auc, bound, more)))
        },
    );
}

fn corruptions(gates: &Gates, found: Option<&Robustness>, checks: &mut Checks) {
    let what = "AUC drop under the hardest corruption of the select fold:";
    let asked = (gates.max_corruption_loss, at_most("max_corruption_loss"));
    checks.gate(what, asked, command("robustness"), |bound| {
        let (clean, suite) = (found?.clean, found?.corruptions.as_ref()?);
        let results = suite.results.iter();
        let worst = results.min_by(|a, b| a.figures.auc.value.total_cmp(&b.figures.auc.value))?;
        let loss = clean.auc.value - worst.figures.auc.value;
        let found = format!(
            "{loss:.4} ({} at severity {} leaves AUC {})",
            worst.corruption.name(),
            worst.severity,
            measured(&worst.figures.auc)
        );
        Some((found, met_if(loss <= bound)))
    });
}

/// Gates on the border's AUC and on the AUC lost to swapped regions or added text.
fn probes(gates: &Gates, found: Option<&Robustness>, checks: &mut Checks) {
    let probes = found.and_then(|found| found.probes.as_ref()).map(|probes| &probes.changes);
    let asked = |bound| format!("at most {bound} in either direction (max_border_auc)");
    checks.gate("AUC from the border alone", (gates.max_border_auc, asked), command("robustness"), |bound| {
        let auc = probes?.iter().find(|probe| probe.name == BORDER_ONLY)?.auc;
        Some((measured(&auc), met_if(auc.value.max(1.0 - auc.value) <= bound)))
    });
    let what = "AUC drop after swapping borders or corners, or adding text:";
    let asked = (gates.max_shortcut_loss, at_most("max_shortcut_loss"));
    checks.gate(what, asked, command("robustness"), |bound| {
        let is_swap = |name: &str| name.ends_with("of the other class") || name == "letters burned in";
        let swaps = probes?.iter().filter(|probe| is_swap(&probe.name));
        let worst = swaps.min_by(|a, b| a.auc_change.value.total_cmp(&b.auc_change.value))?;
        let loss = -worst.auc_change.value;
        let found = format!("{loss:.4} ({}: AUC {})", worst.name, measured(&worst.auc));
        Some((found, met_if(loss <= bound)))
    });
}
