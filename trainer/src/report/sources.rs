//! The results on which the report is based: the files of the run, and what was measured elsewhere. A file
//! about other weights counts as missing.

use crate::benchmark::training::{Spread, TrainingBenchmark};
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
use crate::train::trained::TrainedRun;
use crate::tune::{StudyDirectory, TuneFile};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a result is, or why there is none.
pub(super) type Found<T> = Result<T, String>;

/// Results outside of the run directory. Each is optional.
#[derive(Debug, Clone, Default)]
pub struct Elsewhere {
    pub study: Option<PathBuf>,
    /// The run that was trained and evaluated on a re-split of all images.
    pub resplit: Option<PathBuf>,
    /// The run, or the folder, with `bench.json` and `bench-training.json`.
    pub benchmark: Option<PathBuf>,
    /// A comparison of runs from `cxr-trainer robustness --compare`: the ablation.
    pub ablation: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct Study {
    pub(super) folder: PathBuf,
    pub(super) file: TuneFile,
}

/// `bench-training.json`: the speed of the trainer and of the same training in PyTorch, measured by turns.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Peer {
    pub(super) threads: usize,
    pub(super) rounds: Vec<serde_json::Value>,
    pub(super) trainer: Spread,
    pub(super) peer: Spread,
    pub(super) ratio: Spread,
}

#[derive(Debug)]
pub(super) struct Resplit {
    pub(super) split: Split,
    pub(super) test: EvaluationFile,
}

/// One line of `metrics.csv`, as it is written there.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Epoch {
    epoch: String,
    train_loss: String,
    pub(super) select_loss: String,
    select_auc: String,
}

/// Every result, or the reason why it is missing.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    pub(super) trained: &'a TrainedRun<'a>,
    pub(super) environment: Found<Environment>,
    pub(super) epochs: Found<Vec<Epoch>>,
    pub(super) eda: Found<Eda>,
    pub(super) split: Found<Split>,
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
    pub(super) benchmark: Found<TrainingBenchmark>,
    pub(super) peer: Found<Peer>,
    pub(super) release: Found<Release>,
    pub(super) census: Census,
    pub(super) fitness: Found<Fitness>,
}

impl<'a> Sources<'a> {
    /// Reads all of them. Fails only if a file is there and cannot be read.
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
        let benchmark = elsewhere.benchmark.as_deref();
        Ok(Self {
            trained,
            environment: read_json(&file("environment.json"))?
                .ok_or_else(|| "the run directory has no environment.json".to_owned()),
            epochs: epochs(&file("metrics.csv")),
            eda: required(&file("eda.json"), "eda")?.and_then(|eda: Eda| {
                if eda.dataset_sha256 == dataset { Ok(eda) } else { Err(not_run("eda")) }
            }),
            split: Split::load(run, &trained.folds.digest()?)?.ok_or_else(|| not_run("split")),
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
            benchmark: match benchmark {
                Some(folder) => required(&folder.join("bench.json"), "benchmark training")?,
                None => Err(unless_given("--benchmark")),
            },
            peer: match benchmark {
                Some(folder) => read_json(&folder.join("bench-training.json"))?
                    .ok_or_else(|| "make bench-training has not been run".to_owned()),
                None => Err(unless_given("--benchmark")),
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

    pub(super) const fn config(&self) -> &Config {
        self.trained.config
    }

    /// Properties by which select and test are divided for figures of groups.
    pub(super) fn groups(&self) -> BTreeSet<String> {
        let files = self.evaluations.iter().filter(|(fold, _)| *fold != Fold::Calibrate);
        named_groups::properties(files.filter_map(|(_, file)| file.as_ref().ok()))
    }

    pub(super) fn evaluation(&self, fold: Fold) -> Found<&EvaluationFile> {
        let found = self.evaluations.iter().find(|(of, _)| *of == fold);
        found
            .map_or(Err("no such fold"), |(_, file)| file.as_ref().map_err(String::as_str))
            .map_err(str::to_owned)
    }
}

fn not_run(command: &str) -> String {
    format!("`cxr-trainer {command}` has not been run on these weights and this data")
}

/// Originals against copies. The reason differs between nothing to compare and a command that has not been
/// run.
fn compared(trained: &TrainedRun, file: &Path) -> Result<Found<Consistency>> {
    let there = trained.config.export.originals.as_deref().is_some_and(Path::is_dir);
    let found = required(file, "export")?;
    Ok(if there { found } else { found.map_err(|_| NO_ORIGINALS.to_owned()) })
}

fn not_released(fitness: &Found<Fitness>) -> String {
    match fitness {
        Ok(fitness) if fitness.ensure_releasable().is_err() => {
            "`cxr-trainer release` refuses what is not shown to be fit; the reasons are in the summary"
                .to_owned()
        }
        _ => not_run("release"),
    }
}

/// The content of a file that `command` writes.
fn required<T: serde::de::DeserializeOwned>(file: &Path, command: &str) -> Result<Found<T>> {
    Ok(read_json(file)?.ok_or_else(|| not_run(command)))
}

fn epochs(file: &Path) -> Found<Vec<Epoch>> {
    let rows = csv::Reader::from_path(file).map(|mut reader| reader.deserialize().collect());
    rows.and_then(|rows: csv::Result<_>| rows).map_err(|_| "the run directory has no metrics.csv".to_owned())
}
