//! Why the best trial was chosen: its results at every rung beside those of the best other trial.

use super::study::{RungResult, Study, Trial};
use crate::config::tune::Objective;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    pub epochs: usize,
    /// Rank among the trials that reached the rung, counted from 1.
    pub place: usize,
    pub n_trials: usize,
    /// The select loss or the AUC.
    pub value: f64,
    pub other: Option<Other>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Other {
    pub trial: usize,
    pub value: f64,
    /// Advantage of the chosen trial; negative if the other is better.
    pub margin: f64,
    /// Whether it ranks last because its AUC is below the best by more than the tolerance.
    pub falls_behind: bool,
}

pub(super) fn comparisons(study: &Study, trial: &Trial) -> Vec<Comparison> {
    let at = |(rung, result): (usize, &RungResult)| {
        let ranked = study.ranked(rung);
        let other = ranked.iter().find(|other| other.number != trial.number);
        let best_auc = ranked.iter().map(|of| of.rungs[rung].select_auc).fold(0.0, f64::max);
        Comparison {
            epochs: result.epochs,
            place: ranked.iter().position(|of| of.number == trial.number).map_or(0, |place| place + 1),
            n_trials: ranked.len(),
            value: objective(study, result),
            other: other.map(|other| Other {
                trial: other.number,
                value: objective(study, &other.rungs[rung]),
                margin: other.rungs[rung].value - result.value,
                falls_behind: other.rungs[rung].select_auc < best_auc - study.definition.auc_tolerance,
            }),
        }
    };
    trial.rungs.iter().enumerate().map(at).collect()
}

/// The objective as people read it. Ranking negates the AUC.
fn objective(study: &Study, result: &RungResult) -> f64 {
    match study.definition.objective {
        Objective::SelectLoss => result.select_loss,
        Objective::SelectAuc => result.select_auc,
    }
}

/// The comparisons in sentences, the last rung first.
pub(super) fn reasons(study: &Study, trial: &Trial) -> Vec<String> {
    let objective_name = match study.definition.objective {
        Objective::SelectLoss => "select loss (smaller is better)",
        Objective::SelectAuc => "select AUC (larger is better)",
    };
    let sentence = |found: &Comparison| {
        let Comparison { epochs, place, n_trials, value, other } = found;
        let own = format!("After {epochs} epochs trial {:04} has {objective_name} {value:.4}", trial.number);
        match other {
            None => format!("{own}; no other trial reached this rung."),
            Some(Other { trial, value, margin, falls_behind }) => {
                let compared = if *margin < 0.0 { "worse" } else { "better" };
                let tolerance = study.definition.auc_tolerance;
                let behind = match falls_behind {
                    true => format!(", which ranks last: its AUC is more than {tolerance} below the best"),
                    false => String::new(),
                };
                format!(
                    "{own}, place {place} of {n_trials}: {:.4} {compared} than trial {trial:04} ({value:.4}{behind}).",
                    margin.abs()
                )
            }
        }
    };
    let mut sentences: Vec<String> = comparisons(study, trial).iter().rev().map(sentence).collect();
    sentences.push(format!(
        "Every trial was trained once, with seed {}: the variation between seeds was not measured, so a small difference may be chance. Train the best two with other seeds to find out.",
        study.definition.seed
    ));
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::scheduler::tests::study;

    fn trial(number: usize, results: &[(usize, f64, f64)]) -> Trial {
        let result = |(epochs, select_loss, select_auc): &(usize, f64, f64)| RungResult {
            epochs: *epochs,
            best_epoch: *epochs,
            value: *select_loss,
            select_loss: *select_loss,
            select_auc: *select_auc,
            cpu_seconds: 1.0,
        };
        Trial { rungs: results.iter().map(result).collect(), ..Trial::new(number, [].into()) }
    }

    #[test]
    fn reasons_name_the_best_other_trial_and_the_margin() {
        let trials = vec![
            trial(0, &[(1, 0.50, 0.90), (3, 0.30, 0.95)]),
            trial(1, &[(1, 0.40, 0.91)]),
            trial(2, &[(1, 0.60, 0.90)]),
        ];
        let study = Study { trials, ..study() };
        let (best, _) = study.best().expect("a trial reached a rung");
        let found = reasons(&study, best);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("0.3000; no other trial reached this rung"), "{found:?}");
        assert!(found[1].contains("place 2 of 3: 0.1000 worse than trial 0001 (0.4000)"), "{found:?}");
        assert!(found[2].contains("seed 1:"), "{found:?}");
        let first = comparisons(&study, best)[0];
        assert_eq!((first.place, first.n_trials, first.other.map(|other| other.trial)), (2, 3, Some(1)));

        let study = Study { trials: vec![trial(0, &[(1, 0.5, 0.95)]), trial(1, &[(1, 0.4, 0.90)])], ..study };
        let (best, _) = study.best().expect("a trial reached a rung");
        assert!(reasons(&study, best)[0].contains("ranks last: its AUC is more than 0.01 below"));
    }
}
