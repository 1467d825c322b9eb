//! The verdict: a comparison of a network's measurements with the configured gates.

mod checks;
pub mod preregistration;

use crate::config::Gates;
use crate::files;
use crate::measure::calibrate::Calibrated;
use crate::measure::evaluate::calibration_digest;
use crate::progress::say;
use crate::run::RunDirectory;
use crate::run::verdict::{FILE, Verdict};
use crate::train::trained::TrainedRun;
use anyhow::{Result, bail, ensure};
use checks::Checks;
use preregistration::Preregistration;
use serde::{Deserialize, Serialize};

/// Precedes the reason for releasing a network that is not shown to be fit.
pub(crate) const RELEASED_ANYWAY: &str = "Released all the same, because";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    Met,
    Failed,
    /// The data is too small to decide; says how much more is needed.
    NotEnough(String),
    /// Says what measures it.
    NotMeasured(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateResult {
    pub what: String,
    pub asked: String,
    pub found: String,
    pub outcome: GateOutcome,
}

impl GateResult {
    /// The gate's name in a table, without the colon that joins it to what was found in a sentence.
    fn name(&self) -> &str {
        self.what.trim_end_matches(':')
    }
}

/// `fitness.json`: the verdict on one set of weights with one calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fitness {
    pub weights_sha256: String,
    pub calibration_sha256: String,
    pub intended_use: String,
    pub verdict: Verdict,
    pub checks: Vec<GateResult>,
    /// Gates that are not configured, with the figure if it was measured nevertheless.
    pub not_asked: Vec<String>,
    pub gates: Gates,
    /// Digest of the gates and of the target sensitivity.
    pub gates_sha256: String,
    pub gates_standing: Preregistration,
    /// The reason for releasing a network that is not shown to be fit.
    pub released_although: Option<String>,
}

/// Compares the measurements with the gates. Keeps the reason for a release if the results are the same.
pub fn judge(trained: &TrainedRun, calibrated: &Calibrated) -> Result<Fitness> {
    let config = trained.config;
    let Checks { results: checks, not_asked } = checks::all(trained, calibrated)?;
    let gates_sha256 = config.gates_digest()?;
    let mut found = Fitness {
        weights_sha256: trained.weights_sha256.clone(),
        calibration_sha256: calibration_digest(calibrated)?,
        intended_use: config.export.intended_use.statement.trim().trim_end_matches('.').to_owned(),
        verdict: verdict(&checks, &config.gates),
        checks,
        not_asked,
        gates: config.gates.clone(),
        gates_standing: Preregistration::of(trained, &gates_sha256)?,
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

fn verdict(checks: &[GateResult], gates: &Gates) -> Verdict {
    let any = |is: fn(&GateOutcome) -> bool| checks.iter().any(|check| is(&check.outcome));
    if any(|outcome| *outcome == GateOutcome::Failed) {
        Verdict::NotFit
    } else if any(|outcome| matches!(outcome, GateOutcome::NotEnough(_))) {
        Verdict::NotEnoughData
    } else if any(|outcome| matches!(outcome, GateOutcome::NotMeasured(_))) || !gates.left_out().is_empty() {
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

    /// Allows the release of a network that is not shown to be fit. A reason for a fit one is ignored.
    pub fn accept(&mut self, reason: Option<&str>) -> Result<()> {
        if let Some(reason) = reason.map(str::trim).filter(|_| self.verdict != Verdict::Fit) {
            ensure!(!reason.is_empty(), "--release-reason: is empty; card and report repeat the reason");
            self.released_although = Some(reason.to_owned());
        }
        Ok(())
    }

    /// Fails for a network that is not shown to be fit, unless there is a reason for its release.
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

    /// Prepends the reason for the release to a report that does not contain it.
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
        let intended_use = &self.intended_use;
        match self.verdict {
            Verdict::Fit => format!("Fit for its intended use ({intended_use})."),
            Verdict::NotFit => format!("Not fit for its intended use: {reasons}."),
            Verdict::NotEnoughData => {
                format!("Not enough data to say whether it is fit for its intended use: {reasons}.")
            }
            Verdict::NotShown => format!("Not shown to be fit for its intended use: {reasons}."),
        }
    }

    /// The gates that are not met. If one failed, those that lack data or were not measured are only counted.
    fn reasons(&self) -> String {
        let (mut failed, mut few, mut unmeasured) = (Vec::new(), Vec::new(), Vec::new());
        for GateResult { what, asked, found, outcome } in &self.checks {
            match outcome {
                GateOutcome::Met => {}
                GateOutcome::Failed => failed.push(format!("{what} {found}, asked: {asked}")),
                GateOutcome::NotEnough(more) => few.push(format!("{what} {found}: {more}")),
                GateOutcome::NotMeasured(how) => unmeasured.push(format!("{what} not measured ({how})")),
            }
        }
        if failed.is_empty() {
            let left_out = self.gates.left_out();
            let unasked =
                (!left_out.is_empty()).then(|| format!("no gate is set for {}", left_out.join(", ")));
            return few.into_iter().chain(unmeasured).chain(unasked).collect::<Vec<_>>().join("; ");
        }
        let also = [(few.len(), "lack data"), (unmeasured.len(), "were not measured")];
        let also = also.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("gates that {what}: {n}"));
        failed.into_iter().chain(also).collect::<Vec<_>>().join("; ")
    }

    /// Prints the gates, and the verdict unless [`ensure_releasable`](Self::ensure_releasable) will.
    pub fn print(&self) {
        for [what, asked, found, outcome] in self.rows() {
            say(format!("  {what}: {found}; asked: {asked}; {outcome}"));
        }
        if self.ensure_releasable().is_ok() {
            say(self.sentence());
        }
    }

    /// How much more data the gates need, if any.
    pub fn missing_data(&self) -> Option<String> {
        let more = self.checks.iter().filter_map(|check| match &check.outcome {
            GateOutcome::NotEnough(more) => Some(format!("{}: {more}", check.name())),
            _ => None,
        });
        let more: Vec<String> = more.collect();
        (!more.is_empty()).then(|| more.join("; "))
    }

    pub const HEADER: [&'static str; 4] = ["gate", "asked", "found", "outcome"];

    pub fn rows(&self) -> Vec<[String; 4]> {
        let row = |check: &GateResult| {
            let outcome = match &check.outcome {
                GateOutcome::Met => "met".to_owned(),
                GateOutcome::Failed => "not met".to_owned(),
                GateOutcome::NotEnough(more) => format!("not enough data: {more}"),
                GateOutcome::NotMeasured(how) => format!("not shown: {how}"),
            };
            [check.name().to_owned(), check.asked.clone(), check.found.clone(), outcome]
        };
        self.checks.iter().map(row).collect()
    }

    /// Notes to the table, each with its title.
    pub fn notes(&self) -> Vec<(&'static str, String)> {
        let mut notes = vec![("When the gates were set", self.gates_standing.to_string())];
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

    fn check(what: &str, outcome: GateOutcome) -> GateResult {
        GateResult {
            what: what.to_owned(),
            asked: "at least 0.85".to_owned(),
            found: "0.6".to_owned(),
            outcome,
        }
    }

    #[test]
    fn the_worst_gate_decides_and_a_missing_gate_leaves_fitness_unshown() {
        let (met, failed) = (check("a", GateOutcome::Met), check("b", GateOutcome::Failed));
        let few = check("c", GateOutcome::NotEnough("12 more".to_owned()));
        let open = check("d", GateOutcome::NotMeasured("`measure`".to_owned()));
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
        let silent = Gates { min_specificity: None, ..gates };
        assert_eq!(verdict(&[met], &silent), Verdict::NotShown);
        assert_eq!(silent.left_out(), ["the specificity (trainer.gates.min_specificity)"]);
    }
}
