//! The files on which the report is based. A file about other weights counts as missing.

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
use crate::measure::evaluate::{EvaluationFile, calibration_digest, named_groups};
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

/// A result, or why it is missing.
pub(super) type Found<T> = Result<T, String>;

#[derive(Debug, Clone, Default)]
pub struct Elsewhere {
    pub study: Option<PathBuf>,
    pub resplit: Option<PathBuf>,
    /// A folder with `bench.json` and `bench-training.json`.
    pub benchmark: Option<PathBuf>,
    /// A folder with a comparison from `cxr-trainer robustness --compare`.
    pub ablation: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct Study {
    pub(super) folder: PathBuf,
    pub(super) file: TuneFile,
}

/// `bench-training.json`: the speed of the trainer and of the same training in PyTorch, measured alternately.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PeerBenchmark {
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

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MetricsRow {
    epoch: String,
    train_loss: String,
    pub(super) select_loss: String,
    select_auc: String,
}

#[derive(Debug)]
pub(super) struct Sources<'a> {
    pub(super) trained: &'a TrainedRun<'a>,
    pub(super) environment: Found<Environment>,
    pub(super) epochs: Found<Vec<MetricsRow>>,
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
    pub(super) peer: Found<PeerBenchmark>,
    pub(super) release: Found<Release>,
    pub(super) census: Census,
    pub(super) fitness: Found<Fitness>,
}

impl<'a> Sources<'a> {
    /// Fails only if a file exists but cannot be read.
    pub(super) fn read(trained: &'a TrainedRun<'a>, elsewhere: &Elsewhere) -> Result<Self> {
        let (run, weights) = (trained.run, trained.weights_sha256.as_str());
        let file = |name: &str| run.file(name);
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
        let (external, explanation) = match &calibrated {
            Ok(calibrated) => (
                ExternalEvaluation::load(trained, calibrated)?,
                Explanation::load(run, weights, calibrated.policy.threshold)?,
            ),
            Err(_) => (None, None),
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
            study: given(elsewhere.study.as_deref(), "--study", |name| {
                let folder = StudyDirectory::of(name).path().to_owned();
                Ok(TuneFile::load(&folder)?
                    .map(|file| Study { folder, file })
                    .ok_or_else(|| format!("{} contains no tune.json", name.display())))
            })?,
            evaluations,
            external: external.ok_or_else(|| why_not_measured(trained.config)),
            resplit: given(elsewhere.resplit.as_deref(), "--resplit", resplit)?,
            looks: trained.looks()?,
            explanation: explanation.ok_or_else(|| not_run("explain")),
            robustness: Robustness::load(&file(""))?
                .filter(|found| found.weights_sha256 == weights && is_current(found.threshold))
                .ok_or_else(|| not_run("robustness")),
            ablation: given(elsewhere.ablation.as_deref(), "--ablation", |folder| {
                required(&folder.join(COMPARISON), "robustness --compare")
            })?,
            consistency: consistency(trained, &file("consistency.json"))?.and_then(|found: Consistency| {
                if found.weights_sha256 == weights && is_current(found.threshold) {
                    Ok(found)
                } else {
                    Err(not_run("export"))
                }
            }),
            benchmark: given(benchmark, "--benchmark", |folder| {
                required(&folder.join("bench.json"), "benchmark training")
            })?,
            peer: given(benchmark, "--benchmark", |folder| {
                Ok(read_json(&folder.join("bench-training.json"))?
                    .ok_or("make bench-training has not been run".into()))
            })?,
            release: Release::load(run)?
                .filter(|release| {
                    let calibration = calibrated.as_ref().ok().and_then(|c| calibration_digest(c).ok());
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

    /// The properties that divide select and test into subgroups.
    pub(super) fn groups(&self) -> BTreeSet<String> {
        let files = self.evaluations.iter().filter(|(fold, _)| *fold != Fold::Calibrate);
        named_groups::properties(files.filter_map(|(_, file)| file.as_ref().ok()))
    }

    pub(super) fn evaluation(&self, fold: Fold) -> Found<&EvaluationFile> {
        let found = self.evaluations.iter().find(|(of, _)| *of == fold);
        found.ok_or("no such fold")?.1.as_ref().map_err(Clone::clone)
    }
}

fn given<T>(
    folder: Option<&Path>,
    option: &str,
    read: impl FnOnce(&Path) -> Result<Found<T>>,
) -> Result<Found<T>> {
    folder.map_or_else(|| Ok(Err(format!("no {option} was given to the report"))), read)
}

fn resplit(folder: &Path) -> Result<Found<Resplit>> {
    let split = required(&folder.join("split.json"), "split")?;
    let test = required(&folder.join("evaluation-test.json"), "evaluate --fold test")?;
    Ok(split.and_then(|split: Split| {
        if split.test_is_drawn {
            return Ok(Resplit { split, test: test? });
        }
        Err(format!("{} was not re-split: its test fold is the test split of the data", folder.display()))
    }))
}

fn not_run(command: &str) -> String {
    format!("`cxr-trainer {command}` has not been run on these weights and this data")
}

/// Without originals, the reason is [`NO_ORIGINALS`], not an unrun command.
fn consistency(trained: &TrainedRun, file: &Path) -> Result<Found<Consistency>> {
    let has_originals = trained.config.export.originals.as_deref().is_some_and(Path::is_dir);
    let found = required(file, "export")?;
    Ok(if has_originals { found } else { found.map_err(|_| NO_ORIGINALS.to_owned()) })
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

fn required<T: serde::de::DeserializeOwned>(file: &Path, command: &str) -> Result<Found<T>> {
    Ok(read_json(file)?.ok_or_else(|| not_run(command)))
}

fn epochs(file: &Path) -> Found<Vec<MetricsRow>> {
    let rows = csv::Reader::from_path(file).map(|mut reader| reader.deserialize().collect());
    rows.and_then(|rows: csv::Result<_>| rows).map_err(|_| "the run directory has no metrics.csv".to_owned())
}
