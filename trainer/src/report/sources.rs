//! What the report is made of: the files of the run, and what was measured elsewhere. A file about other weights counts as
//! none.

use super::document::Found;
use crate::bench::{Bench, Spread};
use crate::config::Config;
use crate::data::census::Census;
use crate::data::eda::Eda;
use crate::data::folds::Fold;
use crate::data::ledger::Look;
use crate::data::split::Split;
use crate::export::NO_ORIGINALS;
use crate::files::read_json;
use crate::fitness::{self, Fitness};
use crate::measure::calibrate::Calibrated;
use crate::measure::consistency::Consistency;
use crate::measure::evaluate::external::{ExternalEvaluation, why_not_measured};
use crate::measure::evaluate::{EvaluationFile, digest, named_groups};
use crate::measure::explain::Explanation;
use crate::measure::robustness::Robustness;
use crate::measure::robustness::compare::{COMPARISON, ComparedRun};
use crate::release::Release;
use crate::run::environment::Environment;
use crate::soup::Soup;
use crate::train::trained::TrainedRun;
use crate::tune::{StudyDirectory, TuneFile};
use anyhow::Result;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What does not lie in the run directory; each may be left out.
#[derive(Debug, Clone, Default)]
pub struct Elsewhere {
    /// A study of `cxr-trainer tune`.
    pub study: Option<PathBuf>,
    /// The run that was trained and evaluated on a re-split of all images.
    pub resplit: Option<PathBuf>,
    /// The run, or the folder, with `bench.json` and `bench-training.json`.
    pub bench: Option<PathBuf>,
    /// A comparison of runs from `cxr-trainer robustness --compare`: the ablation.
    pub ablation: Option<PathBuf>,
}

/// A study and where it is.
#[derive(Debug)]
pub(super) struct Study {
    pub(super) folder: PathBuf,
    pub(super) file: TuneFile,
}

/// `bench-training.json`: the trainer and the same training in PyTorch, by turns.
#[derive(Debug, Deserialize)]
pub(super) struct Peer {
    pub(super) threads: usize,
    pub(super) rounds: Vec<serde_json::Value>,
    pub(super) trainer: Spread,
    #[serde(rename = "peer")]
    pub(super) pytorch: Spread,
    pub(super) ratio: Spread,
}

/// The re-split run.
#[derive(Debug)]
pub(super) struct Resplit {
    pub(super) split: Split,
    pub(super) test: EvaluationFile,
}

/// Everything that was found, and why the rest was not.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    pub(super) trained: &'a TrainedRun<'a>,
    pub(super) environment: Found<Environment>,
    pub(super) eda: Found<Eda>,
    pub(super) split: Found<Split>,
    pub(super) soup: Option<Soup>,
    pub(super) study: Found<Study>,
    pub(super) calibrated: Found<Calibrated>,
    pub(super) evaluations: Vec<(Fold, Found<EvaluationFile>)>,
    pub(super) external: Found<ExternalEvaluation>,
    pub(super) resplit: Found<Resplit>,
    pub(super) looks: Vec<Look>,
    pub(super) explanation: Found<Explanation>,
    pub(super) robustness: Found<Robustness>,
    pub(super) ablation: Found<Vec<ComparedRun>>,
    pub(super) consistency: Found<Consistency>,
    pub(super) bench: Found<Bench>,
    pub(super) peer: Found<Peer>,
    pub(super) release: Found<Release>,
    pub(super) census: Census,
    pub(super) fitness: Found<Fitness>,
}

impl<'a> Sources<'a> {
    /// Reads all of them.
    ///
    /// # Errors
    /// Names a file that is there and cannot be read.
    pub(super) fn read(trained: &'a TrainedRun<'a>, elsewhere: &Elsewhere) -> Result<Self> {
        let (run, weights) = (trained.run, trained.weights_sha256.as_str());
        let file = |name: &str| run.file(name);
        let unless_given = |option: &str| format!("no {option} was given to the report");
        let calibrated = Calibrated::load(run, weights).map_err(|error| format!("{error:#}"));
        let evaluation = |fold: Fold| -> Result<Found<EvaluationFile>> {
            let Ok(calibrated) = &calibrated else { return Ok(Err(not_run("calibrate"))) };
            let found = EvaluationFile::load(trained, calibrated, fold)?;
            Ok(found.ok_or_else(|| not_run(&format!("evaluate --fold {}", fold.name()))))
        };
        let evaluations = [Fold::Select, Fold::Calibrate, Fold::Test]
            .into_iter()
            .map(|fold| Ok((fold, evaluation(fold)?)))
            .collect::<Result<_>>()?;
        let external = match &calibrated {
            Ok(calibrated) => ExternalEvaluation::load(trained, calibrated)?,
            Err(_) => None,
        };
        let explanation = match &calibrated {
            Ok(calibrated) => Explanation::load(run, weights, calibrated.policy.threshold)?,
            Err(_) => None,
        };
        let is_current = |threshold: f64| {
            calibrated.as_ref().is_ok_and(|c| c.policy.threshold.to_bits() == threshold.to_bits())
        };
        let fitness = match &calibrated {
            Ok(calibrated) => Ok(fitness::judge(trained, calibrated)?),
            Err(why) => Err(why.clone()),
        };
        let dataset = trained.folds.dataset_sha256.as_str();
        let bench = elsewhere.bench.as_deref();
        Ok(Self {
            trained,
            environment: read_json(&file("environment.json"))?
                .ok_or_else(|| "the run directory has no environment.json".to_owned()),
            eda: required(&file("eda.json"), "eda")?.and_then(|eda: Eda| {
                if eda.dataset_sha256 == dataset { Ok(eda) } else { Err(not_run("eda")) }
            }),
            split: Split::load(run, &trained.folds.digest()?)?.ok_or_else(|| not_run("split")),
            soup: Soup::load(run)?.filter(|soup| soup.weights_sha256 == weights),
            study: match &elsewhere.study {
                Some(name) => TuneFile::load(StudyDirectory::of(name).path())?
                    .map(|file| Study { folder: StudyDirectory::of(name).path().to_owned(), file })
                    .ok_or_else(|| format!("{} holds no tune.json", name.display())),
                None => Err(unless_given("--study")),
            },
            evaluations,
            external: external.ok_or_else(|| why_not_measured(trained.config)),
            resplit: match &elsewhere.resplit {
                Some(folder) => required(&folder.join("split.json"), "split")?.and_then(|split: Split| {
                    let test = required(&folder.join("evaluation-test.json"), "evaluate --fold test");
                    if !split.test_is_drawn {
                        return Err(format!(
                            "{} was not re-split: its test fold is the test split of the data",
                            folder.display()
                        ));
                    }
                    Ok(Resplit { split, test: test.map_err(|error| format!("{error:#}"))?? })
                }),
                None => Err(unless_given("--resplit")),
            },
            looks: trained.looks()?,
            explanation: explanation.ok_or_else(|| not_run("explain")),
            robustness: Robustness::load(&file(""))?
                .filter(|found| found.weights_sha256 == weights && is_current(found.threshold))
                .ok_or_else(|| not_run("robustness")),
            ablation: match &elsewhere.ablation {
                Some(folder) => required(&folder.join(COMPARISON), "robustness --compare")?,
                None => Err(unless_given("--ablation")),
            },
            consistency: compared(trained, &file("consistency.json"))?.and_then(|found: Consistency| {
                if found.weights_sha256 == weights && is_current(found.threshold) {
                    Ok(found)
                } else {
                    Err(not_run("export"))
                }
            }),
            bench: match bench {
                Some(folder) => required(&folder.join("bench.json"), "bench")?,
                None => Err(unless_given("--bench")),
            },
            peer: match bench {
                Some(folder) => read_json(&folder.join("bench-training.json"))?
                    .ok_or_else(|| "make bench-training has not been run".to_owned()),
                None => Err(unless_given("--bench")),
            },
            release: Release::load(run)?
                .filter(|release| {
                    let calibration = calibrated.as_ref().ok().and_then(|c| digest(c).ok());
                    release.weights_sha256 == weights
                        && Some(&release.calibration_sha256) == calibration.as_ref()
                })
                .ok_or_else(|| not_released(&fitness)),
            census: trained.census()?,
            fitness,
            calibrated,
        })
    }

    /// The configuration.
    pub(super) const fn config(&self) -> &Config {
        self.trained.config
    }

    /// How often the test fold was looked at with this run's weights, in words.
    pub(super) fn looks_at_these_weights(&self) -> String {
        let weights = &self.trained.weights_sha256;
        match self.looks.iter().filter(|look| look.weights_sha256 == *weights).count() {
            1 => "1 look".to_owned(),
            n => format!("{n} looks"),
        }
    }

    /// What the test fold is.
    pub(super) const fn test_name(&self) -> &'static str {
        self.census.test_name()
    }

    /// What select and test were divided by for figures of groups.
    pub(super) fn groups(&self) -> BTreeSet<String> {
        let files = self.evaluations.iter().filter(|(fold, _)| *fold != Fold::Calibrate);
        named_groups::properties(files.filter_map(|(_, file)| file.as_ref().ok()))
    }

    /// The evaluation of a fold.
    pub(super) fn evaluation(&self, fold: Fold) -> Found<&EvaluationFile> {
        let found = self.evaluations.iter().find(|(of, _)| *of == fold);
        found
            .map_or(Err("no such fold"), |(_, file)| file.as_ref().map_err(String::as_str))
            .map_err(str::to_owned)
    }

    /// A figure of the run.
    pub(super) fn figure(&self, name: &str) -> PathBuf {
        self.trained.run.file("figures").join(name)
    }
}

/// What could not be measured without a command.
fn not_run(command: &str) -> String {
    format!("`cxr-trainer {command}` has not been run on these weights and this data")
}

/// Originals against copies: nothing to compare has another reason than a command that has not been run.
fn compared(trained: &TrainedRun, file: &Path) -> Result<Found<Consistency>> {
    let there = trained.config.export.originals.as_deref().is_some_and(Path::is_dir);
    let found = required(file, "export")?;
    Ok(if there { found } else { found.map_err(|_| NO_ORIGINALS.to_owned()) })
}

/// Why there is no release.
fn not_released(fitness: &Found<Fitness>) -> String {
    match fitness {
        Ok(fitness) if fitness.ensure_releasable().is_err() => {
            "`cxr-trainer release` refuses what is not shown to be fit; the reasons are in the summary"
                .to_owned()
        }
        _ => not_run("release"),
    }
}

/// The content of a file that a command writes.
fn required<T: serde::de::DeserializeOwned>(file: &Path, command: &str) -> Result<Found<T>> {
    Ok(read_json(file)?.ok_or_else(|| not_run(command)))
}
