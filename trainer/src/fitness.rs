//! The verdict: what a network has shown, against the gates that the configuration states. Summary, conclusion, model card,
//! `release` and the registry all use this one.

mod check;
mod checks;
pub mod standing;

use crate::config::Gates;
use crate::files;
use crate::measure::calibrate::Calibrated;
use crate::measure::evaluate::digest;
use crate::progress::say;
use crate::run::RunDirectory;
use crate::run::verdict::{FILE, Verdict};
use crate::train::trained::TrainedRun;
use anyhow::{Result, bail, ensure};
pub use check::{Check, Outcome};
use serde::{Deserialize, Serialize};
use standing::GatesStanding;

/// What stands before the reason for the release of a network that is not shown to be fit.
pub(crate) const RELEASED_ANYWAY: &str = "Released all the same, because";

/// `fitness.json`: the verdict on one set of weights with one calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fitness {
    pub weights_sha256: String,
    /// Digest of calibration and policy.
    pub calibration_sha256: String,
    /// What it is or is not fit for: the statement of the intended use.
    pub intended_use: String,
    pub verdict: Verdict,
    pub checks: Vec<Check>,
    /// What was not asked for, with what is known of it nevertheless.
    pub not_asked: Vec<String>,
    pub gates: Gates,
    /// Digest of the gates and of the target that they refer to.
    pub gates_sha256: String,
    /// Whether the gates are those of the first look at the test fold.
    pub gates_standing: GatesStanding,
    /// Why it was released although it is not shown to be fit.
    pub released_although: Option<String>,
}

/// Judges a run by everything that it has on file. A reason that was given for the release of the same result stays.
pub fn judge(trained: &TrainedRun, calibrated: &Calibrated) -> Result<Fitness> {
    let config = trained.config;
    let (checks, not_asked) = checks::all(trained, calibrated)?;
    let gates_sha256 = config.gates_digest()?;
    let mut found = Fitness {
        weights_sha256: trained.weights_sha256.clone(),
        calibration_sha256: digest(calibrated)?,
        intended_use: config.export.intended_use.statement.trim().trim_end_matches('.').to_owned(),
        verdict: verdict(&checks, &config.gates),
        checks,
        not_asked,
        gates: config.gates.clone(),
        gates_standing: GatesStanding::of(trained, &gates_sha256)?,
        gates_sha256,
        released_although: None,
    };
    let known = Fitness::load(trained.run)?.filter(|known| {
        (&known.weights_sha256, &known.calibration_sha256, &known.checks)
            == (&found.weights_sha256, &found.calibration_sha256, &found.checks)
    });
    found.released_although = known.and_then(|known| known.released_although);
    Ok(found)
}

fn verdict(checks: &[Check], gates: &Gates) -> Verdict {
    let any = |of: fn(&Outcome) -> bool| checks.iter().any(|check| of(&check.outcome));
    if any(|outcome| *outcome == Outcome::Failed) {
        Verdict::NotFit
    } else if any(|outcome| matches!(outcome, Outcome::NotEnough(_))) {
        Verdict::NotEnoughData
    } else if any(|outcome| matches!(outcome, Outcome::NotMeasured(_))) || !gates.left_out().is_empty() {
        Verdict::NotShown
    } else {
        Verdict::Fit
    }
}

impl Fitness {
    pub fn load(run: &RunDirectory) -> Result<Option<Self>> {
        files::read_json(&run.file(FILE))
    }

    pub fn write(&self, run: &RunDirectory) -> Result<()> {
        files::write_json(&run.file(FILE), self)
    }

    /// Lets it be released although it is not shown to be fit. A network that is fit needs no reason and gets none.
    pub fn accept(&mut self, reason: Option<&str>) -> Result<()> {
        if let Some(reason) = reason.map(str::trim).filter(|_| self.verdict != Verdict::Fit) {
            ensure!(!reason.is_empty(), "--release-reason: is empty; card and report repeat it, so say why");
            self.released_although = Some(reason.to_owned());
        }
        Ok(())
    }

    /// Refuses what is not shown to be fit, unless a reason was given.
    pub fn ensure_releasable(&self) -> Result<()> {
        if self.verdict == Verdict::Fit || self.released_although.is_some() {
            return Ok(());
        }
        bail!(
            "not released. {} Improve the model, or release it anyway with --release-reason \"TEXT\", which card and report repeat. Do \
             not change the gates (trainer.gates) after you have seen the test results.",
            self.sentence()
        )
    }

    /// A report's text; where the release needed a reason that the text does not repeat, with that in front.
    pub fn in_front_of(&self, report: Vec<u8>) -> Vec<u8> {
        let Some(reason) = &self.released_although else { return report };
        if String::from_utf8_lossy(&report).contains(reason.as_str()) {
            return report;
        }
        let notice = format!("> {} {RELEASED_ANYWAY}: {reason}\n\n", self.sentence());
        [notice.into_bytes(), report].concat()
    }

    pub fn sentence(&self) -> String {
        let reasons = self.reasons();
        let use_of = &self.intended_use;
        match self.verdict {
            Verdict::Fit => format!("Fit for its intended use ({use_of})."),
            Verdict::NotFit => format!("Not fit for its intended use: {reasons}."),
            Verdict::NotEnoughData => {
                format!("Not enough data to say whether it is fit for its intended use: {reasons}.")
            }
            Verdict::NotShown => format!("Not shown to be fit for its intended use: {reasons}."),
        }
    }

    /// What is not met. Where a gate is failed, what lacks data or was not measured is only counted: the table has it.
    fn reasons(&self) -> String {
        let texts =
            |of: &dyn Fn(&Check) -> Option<String>| self.checks.iter().filter_map(of).collect::<Vec<_>>();
        let failed = texts(&|Check { what, asked, found, outcome }| {
            (*outcome == Outcome::Failed).then(|| format!("{what} {found}, asked: {asked}"))
        });
        let few = texts(&|Check { what, found, outcome, .. }| match outcome {
            Outcome::NotEnough(more) => Some(format!("{what} {found}: {more}")),
            _ => None,
        });
        let unmeasured = texts(&|Check { what, outcome, .. }| match outcome {
            Outcome::NotMeasured(how) => Some(format!("{what} not measured ({how})")),
            _ => None,
        });
        if failed.is_empty() {
            let left_out = self.gates.left_out();
            let unasked =
                (!left_out.is_empty()).then(|| format!("no gate is stated for {}", left_out.join(", ")));
            return few.into_iter().chain(unmeasured).chain(unasked).collect::<Vec<_>>().join("; ");
        }
        let also = [(few.len(), "lack data"), (unmeasured.len(), "were not measured")];
        let also = also.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("gates that {what}: {n}"));
        failed.into_iter().chain(also).collect::<Vec<_>>().join("; ")
    }

    /// Prints every gate, and the verdict where no refusal repeats it.
    pub fn report(&self) {
        for [what, asked, found, outcome] in self.rows() {
            say(format!("  {what}: {found}; asked: {asked}; {outcome}"));
        }
        if self.ensure_releasable().is_ok() {
            say(self.sentence());
        }
    }

    /// What the gates say of missing data; none where it is enough for each of them.
    pub fn missing_data(&self) -> Option<String> {
        let more = self.checks.iter().filter_map(|check| match &check.outcome {
            Outcome::NotEnough(more) => Some(format!("{}: {more}", check.what.trim_end_matches(':'))),
            _ => None,
        });
        let more: Vec<String> = more.collect();
        (!more.is_empty()).then(|| more.join("; "))
    }

    pub const HEADER: [&'static str; 4] = ["gate", "asked", "found", "outcome"];

    pub fn rows(&self) -> Vec<[String; 4]> {
        let row = |check: &Check| {
            [
                check.what.trim_end_matches(':').to_owned(),
                check.asked.clone(),
                check.found.clone(),
                check.outcome.text(),
            ]
        };
        self.checks.iter().map(row).collect()
    }

    /// What a reader of the table must know: when the gates were stated, what they leave out or ask less than usual for, why it was
    /// released.
    pub fn notes(&self) -> Vec<(&'static str, String)> {
        let mut notes = vec![("When the gates were stated", self.gates_standing.to_string())];
        if !self.not_asked.is_empty() {
            notes.push(("Not asked for by the gates", self.not_asked.join("; ")));
        }
        let looser = self.gates.looser_than_default();
        if !looser.is_empty() {
            notes.push(("Looser than the defaults (in brackets)", looser.join(", ")));
        }
        notes.extend(self.released_although.iter().map(|reason| (RELEASED_ANYWAY, reason.clone())));
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(what: &str, outcome: Outcome) -> Check {
        Check { what: what.to_owned(), asked: "at least 0.85".to_owned(), found: "0.6".to_owned(), outcome }
    }

    #[test]
    fn the_worst_gate_decides_and_without_gates_nothing_is_shown() {
        let (met, failed) = (check("a", Outcome::Met), check("b", Outcome::Failed));
        let few = check("c", Outcome::NotEnough("12 more".to_owned()));
        let open = check("d", Outcome::NotMeasured("`measure`".to_owned()));
        let defaults = include_str!("../../config/default.yaml");
        let defaults: serde_yaml_ng::Value = serde_yaml_ng::from_str(defaults).unwrap();
        let gates: Gates = serde_yaml_ng::from_value(defaults["trainer"]["gates"].clone()).unwrap();
        for (checks, expected) in [
            (vec![met.clone()], Verdict::Fit),
            (vec![met.clone(), open.clone()], Verdict::NotShown),
            (vec![open.clone(), few.clone(), met.clone()], Verdict::NotEnoughData),
            (vec![few, open, met.clone(), failed], Verdict::NotFit),
        ] {
            assert_eq!(verdict(&checks, &gates), expected, "{checks:?}");
        }
        // Enough images show nothing of a network by themselves.
        let silent = Gates { min_specificity: None, ..gates };
        assert_eq!(verdict(&[met], &silent), Verdict::NotShown);
        assert_eq!(silent.left_out(), ["the specificity (trainer.gates.min_specificity)"]);
    }
}
