//! The gates one by one: requirement, finding, and how much more data a decision would take.

use super::check::{Check, Outcome};
use crate::config::gates::PerFold;
use crate::config::{Config, Gates};
use crate::data::census::{Census, FOLDS};
use crate::data::folds::Fold;
use crate::measure::calibrate::Calibrated;
use crate::measure::evaluate::EvaluationFile;
use crate::measure::evaluate::external::{ExternalEvaluation, why_not_measured};
use crate::measure::robustness::Robustness;
use crate::measure::robustness::probes::BORDER_ONLY;
use crate::measure::sample_size::{Classes, Method, more_for_auc, more_for_share, wider};
use crate::train::trained::TrainedRun;
use anyhow::Result;
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::bundle::Measured;

/// What is said of an estimate that no sensible number of images lifts from its bound.
const ON_THE_BOUND: &str = "too near the bound to tell with any realistic number of images";

type Found = (Vec<Check>, Vec<String>);

pub(super) fn all(trained: &TrainedRun, calibrated: &Calibrated) -> Result<Found> {
    let census = trained.census()?;
    let evaluation = |fold| EvaluationFile::load(trained, calibrated, fold);
    let robustness = Robustness::load(&trained.run.file(""))?.filter(|found| {
        found.weights_sha256 == trained.weights_sha256
            && found.threshold.to_bits() == calibrated.policy.threshold.to_bits()
    });
    let gates = &trained.config.gates;
    let mut found = (Vec::new(), Vec::new());
    counts(gates, &census, &mut found);
    let test = evaluation(Fold::Test)?;
    let sizes = Sizes { config: trained.config, census: &census };
    area(gates, test.as_ref(), sizes, &mut found);
    for (fold, file) in [(Fold::Select, evaluation(Fold::Select)?), (Fold::Test, test)] {
        decisions(trained.config, fold, file.as_ref(), sizes, &mut found);
    }
    external(trained.config, ExternalEvaluation::load(trained, calibrated)?.as_ref(), &mut found);
    corruptions(gates, robustness.as_ref(), &mut found);
    probes(gates, robustness.as_ref(), &mut found);
    Ok(found)
}

fn counts(gates: &Gates, census: &Census, (checks, not_asked): &mut Found) {
    let parts: [(&str, &str, Option<PerFold>, fn(&crate::data::count::Count) -> usize); 2] = [
        ("images", "min_images", gates.min_images, |count| count.images),
        ("patients", "min_patients", gates.min_patients, |count| count.patients),
    ];
    for (unit, key, least, of) in parts {
        let Some(least) = least else {
            not_asked.push(format!("the number of {unit} in each fold"));
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
            let missing: Vec<String> = [("negative", negative), ("positive", positive)]
                .into_iter()
                .filter(|(_, n)| *n < least)
                .map(|(label, n)| format!("{} more {label}", least - n))
                .collect();
            checks.push(Check {
                what: format!("{unit} in the {} fold:", fold.name()),
                asked: format!("at least {least} of each class ({key})"),
                found: format!("{negative} negative, {positive} positive"),
                outcome: if missing.is_empty() {
                    Outcome::Met
                } else {
                    Outcome::NotEnough(missing.join(" and "))
                },
            });
        }
    }
}

/// What is known of the folds: their share of all images, and who is in them.
#[derive(Clone, Copy)]
struct Sizes<'a> {
    config: &'a Config,
    census: &'a Census,
}

impl Sizes<'_> {
    /// Sensitivity or specificity with the interval that the gates judge by.
    fn share(&self, fold: Fold, file: &EvaluationFile, positive: bool) -> (Measured, Method) {
        let figures = &file.figures;
        let share = if positive { figures.sensitivity } else { figures.specificity };
        let patients = self.census.of_fold(fold)[usize::from(positive)].patients;
        wider(&share, patients)
    }

    /// How many images a fold lacks, and about how many that is in all where the fold is drawn.
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

/// The interval's lower end against a bound.
fn from_below(measured: &Measured, bound: f64, more: impl Fn() -> Option<String>) -> Outcome {
    if measured.ci95[0] >= bound {
        Outcome::Met
    } else if measured.value < bound {
        Outcome::Failed
    } else {
        Outcome::NotEnough(more().unwrap_or_else(|| ON_THE_BOUND.to_owned()))
    }
}

fn shown(measured: &Measured) -> String {
    let [low, high] = measured.ci95;
    format!("{:.4} [{low:.4}, {high:.4}]", measured.value)
}

fn shown_with(measured: &Measured, method: Method) -> String {
    format!("{} ({method})", shown(measured))
}

fn asked_below(bound: f64, key: &str) -> String {
    format!("lower bound at least {bound} ({key})")
}

fn not_measured(what: &str, asked: String, command: &str) -> Check {
    Check {
        what: what.to_owned(),
        asked,
        found: "not measured".to_owned(),
        outcome: Outcome::NotMeasured(format!("`cxr-trainer {command}` measures it")),
    }
}

fn sizes_of(confusion: &ConfusionMatrix) -> Classes {
    [
        (confusion.true_negatives + confusion.false_positives) as usize,
        (confusion.true_positives + confusion.false_negatives) as usize,
    ]
}

fn area(gates: &Gates, test: Option<&EvaluationFile>, sizes: Sizes, (checks, not_asked): &mut Found) {
    let what = "AUC on the test fold";
    let Some(bound) = gates.min_auc else {
        return not_asked.push(what.to_owned());
    };
    let asked = asked_below(bound, "min_auc");
    checks.push(match test {
        None => not_measured(what, asked, EVALUATE_TEST),
        Some(file) => {
            let auc = &file.figures.auc;
            let more = || {
                let [negative, positive] = more_for_auc(auc, bound, sizes_of(&file.confusion))?;
                Some(sizes.lacks(Fold::Test, &[(negative, "negative"), (positive, "positive")]))
            };
            let outcome = from_below(auc, bound, more);
            Check { what: what.to_owned(), asked, found: shown(auc), outcome }
        }
    });
}

const EVALUATE_TEST: &str = "evaluate --fold test --reason WHY";

/// Sensitivity and specificity at the operating point, on a fold that did not choose it.
fn decisions(
    config: &Config,
    fold: Fold,
    file: Option<&EvaluationFile>,
    sizes: Sizes,
    (checks, not_asked): &mut Found,
) {
    let gates = &config.gates;
    let command = if fold == Fold::Test { EVALUATE_TEST } else { "evaluate --fold select" };
    for (name, label, bound, key) in [
        ("sensitivity", "positive", gates.min_sensitivity, "min_sensitivity"),
        ("specificity", "negative", gates.min_specificity, "min_specificity"),
    ] {
        let what = format!("{name} on the {} fold", fold.name());
        let Some(bound) = bound else {
            not_asked.push(what);
            continue;
        };
        let asked = asked_below(bound, key);
        checks.push(match file {
            None => not_measured(&what, asked, command),
            Some(file) => {
                let (share, method) = sizes.share(fold, file, label == "positive");
                let more = || Some(sizes.lacks(fold, &[(more_for_share(&share, bound)?, label)]));
                let found = shown_with(&share, method);
                Check { what, asked, found, outcome: from_below(&share, bound, more) }
            }
        });
    }
    let what = format!("target sensitivity on the {} fold", fold.name());
    if !gates.target_sensitivity {
        return not_asked.push(what);
    }
    let target = config.calibration.target_sensitivity;
    let asked = format!("upper bound at least {target} (target_sensitivity)");
    checks.push(match file {
        None => not_measured(&what, asked, command),
        Some(file) => {
            let (share, method) = sizes.share(fold, file, true);
            let outcome = if share.ci95[1] >= target { Outcome::Met } else { Outcome::Failed };
            Check { what, asked, found: shown_with(&share, method), outcome }
        }
    });
}

fn external(config: &Config, file: Option<&ExternalEvaluation>, (checks, not_asked): &mut Found) {
    let gate = config.gates.external;
    let what = file.map_or_else(
        || "AUC on images from elsewhere".to_owned(),
        |file| format!("AUC on images from elsewhere ({})", file.name.trim()),
    );
    if !gate.required {
        let known = file.map_or("not measured".to_owned(), |file| shown(&file.figures.auc));
        return not_asked.push(format!("{what}: {known}"));
    }
    let asked = asked_below(gate.min_auc, "external.min_auc");
    checks.push(match file {
        Some(file) => {
            let auc = &file.figures.auc;
            let more = || {
                let [negative, positive] = more_for_auc(auc, gate.min_auc, sizes_of(&file.confusion))?;
                Some(format!("about {negative} more negative and {positive} more positive images from there"))
            };
            Check { what, asked, found: shown(auc), outcome: from_below(auc, gate.min_auc, more) }
        }
        None => Check {
            what,
            asked,
            found: "not measured".to_owned(),
            outcome: Outcome::NotMeasured(why_not_measured(config)),
        },
    });
}

/// The AUC that the hardest corruption leaves, against the bound on its loss.
fn corruptions(gates: &Gates, found: Option<&Robustness>, (checks, not_asked): &mut Found) {
    let what = "AUC drop under the hardest corruption of the select fold:";
    let Some(bound) = gates.max_corruption_loss else {
        return not_asked.push(what.trim_end_matches(':').to_owned());
    };
    let asked = format!("at most {bound} (max_corruption_loss)");
    let suite = found.and_then(|found| Some((found, found.corruptions.as_ref()?)));
    let worst = suite.and_then(|(found, suite)| {
        let worst =
            suite.results.iter().min_by(|a, b| a.figures.auc.value.total_cmp(&b.figures.auc.value))?;
        Some((found.clean.auc.value - worst.figures.auc.value, worst))
    });
    checks.push(match worst {
        None => not_measured(what, asked, "robustness"),
        Some((loss, worst)) => Check {
            what: what.to_owned(),
            asked,
            found: format!(
                "{loss:.4} ({} at severity {} leaves AUC {})",
                worst.corruption.name(),
                worst.severity,
                shown(&worst.figures.auc)
            ),
            outcome: if loss <= bound { Outcome::Met } else { Outcome::Failed },
        },
    });
}

/// What the network makes of the border alone, and what swapped borders and added text cost it.
fn probes(gates: &Gates, found: Option<&Robustness>, (checks, not_asked): &mut Found) {
    let probes = found.and_then(|found| found.probes.as_ref()).map(|probes| &probes.changes);
    let what = "AUC from the border alone";
    match gates.max_border_auc {
        None => not_asked.push(what.to_owned()),
        Some(bound) => {
            let asked = format!("at most {bound} in either direction (max_border_auc)");
            let probe = probes.and_then(|all| all.iter().find(|probe| probe.name == BORDER_ONLY));
            checks.push(match probe {
                None => not_measured(what, asked, "robustness"),
                Some(probe) => {
                    let strength = probe.auc.value.max(1.0 - probe.auc.value);
                    let outcome = if strength <= bound { Outcome::Met } else { Outcome::Failed };
                    Check { what: what.to_owned(), asked, found: shown(&probe.auc), outcome }
                }
            });
        }
    }
    let what = "AUC drop after swapping borders or corners, or adding text:";
    let Some(bound) = gates.max_shortcut_loss else {
        return not_asked.push(what.trim_end_matches(':').to_owned());
    };
    let asked = format!("at most {bound} (max_shortcut_loss)");
    let is_exchange = |name: &str| name.ends_with("of the other class") || name == "letters burned in";
    let worst = probes.and_then(|all| {
        let exchanged = all.iter().filter(|probe| is_exchange(&probe.name));
        exchanged.min_by(|a, b| a.auc_change.value.total_cmp(&b.auc_change.value))
    });
    checks.push(match worst {
        None => not_measured(what, asked, "robustness"),
        Some(probe) => {
            let loss = -probe.auc_change.value;
            let outcome = if loss <= bound { Outcome::Met } else { Outcome::Failed };
            let found = format!("{loss:.4} ({}: AUC {})", probe.name, shown(&probe.auc));
            Check { what: what.to_owned(), asked, found, outcome }
        }
    });
}
