//! Hyperparameter search from the command line, with workers that are killed or stalled in the middle of a
//! trial. Every study must end like an undisturbed one.

use crate::support::{
    Workbench, assert_same_tensors, configure, fail, fail_with, read, repository, succeed, succeed_with,
    trainer, wait_for,
};
use cxr_trainer::model::{Architecture, Network, Precision, weights};
use cxr_trainer::tune::TuneFile;
use cxr_trainer::tune::location::StoreLocation;
use cxr_trainer::tune::results::Ended;
use cxr_trainer::tune::scheduler::Liveness;
use cxr_trainer::tune::study::{Definition, Study, Trial};
use rig::postgres::{Options, Postgres};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use tch::Device;

/// Three trials, the best of which is promoted when all are done: the outcome does not depend on which worker
/// is faster.
const SEARCH: &str = "
  tune:
    max_trials: 3
    rungs: [3, 6]
    reduction_factor: 3
    auc_tolerance: 1.0
    lease_seconds: 2
    space:
      training.learning_rate: { log_uniform: [1.0e-3, 1.0e-2] }
      training.weight_decay: null
      model.dropout: null
      model.freeze_depth: null
";

fn backbone() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let network = Network::new(Architecture::MobileNetV2, 0.0, Precision::Fp32, Device::Cpu);
        weights::encode(&network.named_tensors(), String::new()).unwrap()
    })
}

struct Search {
    workbench: Workbench,
    store: Option<String>,
}

impl Search {
    fn new(store: Option<String>) -> Self {
        let workbench = Workbench::new(30, 6);
        let weights = workbench.path().join("pretrained.safetensors");
        std::fs::write(&weights, backbone()).unwrap();
        configure(&workbench, "weights: null", &format!("weights: {}", weights.display()));
        std::fs::write(workbench.config(), read(workbench.config()).trim_end().to_owned() + SEARCH).unwrap();
        Self { workbench, store }
    }

    fn folder(&self) -> PathBuf {
        self.workbench.path().join("study")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = trainer("tune");
        command.arg("--study").arg(self.folder()).arg("--config").arg(self.workbench.config());
        command.arg("--data").arg(self.workbench.data()).args(arguments);
        if let Some(store) = &self.store {
            command.args(["--store", store]);
        }
        command
    }

    fn begin(&self, n_workers: &str) -> Child {
        self.command(&["--workers", n_workers]).stdout(Stdio::piped()).spawn().unwrap()
    }

    fn result(&self) -> TuneFile {
        TuneFile::load(&self.folder()).unwrap().unwrap()
    }

    /// Stops (SIGSTOP) a worker that has written an epoch of a running trial; returns its process id.
    fn stop_a_worker(&self) -> String {
        loop {
            let (_, process) = wait_for("a checkpoint of a running trial", || {
                self.running_trials().into_iter().find(|(trial, _)| checkpoint(trial).exists())
            });
            signal("STOP", &process);
            // It may have finished its trial before the signal.
            if self.running_trials().iter().any(|(_, stopped)| *stopped == process) {
                return process;
            }
            signal("CONT", &process);
        }
    }

    /// Folders of the running trials and the processes that train them.
    fn running_trials(&self) -> Vec<(PathBuf, String)> {
        if !self.folder().join("trials").exists() {
            return Vec::new();
        }
        let table = succeed(&mut self.command(&["--status"]));
        let running = table.lines().filter(|line| line.contains("running"));
        let trials = running.filter_map(|line| {
            let number: usize = line.split_whitespace().next()?.parse().ok()?;
            // machine-process-start
            let worker = line.split_whitespace().find(|word| word.matches('-').count() >= 2)?;
            let process = worker.rsplit('-').nth(1)?.to_owned();
            let entries = std::fs::read_dir(self.folder().join("trials")).ok()?.flatten();
            let mut folders = entries.map(|entry| entry.path());
            let folder = folders.find(|path| {
                path.extension().is_some()
                    && path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()) == Some(number)
            })?;
            Some((folder, process))
        });
        trials.collect()
    }
}

fn checkpoint(run: &Path) -> PathBuf {
    run.join("checkpoint.safetensors")
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), process]).status().unwrap().success());
}

fn expect_success(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

fn undisturbed() -> &'static Search {
    static STUDY: OnceLock<Search> = OnceLock::new();
    STUDY.get_or_init(|| {
        let search = Search::new(None);
        succeed(&mut search.command(&[]));
        search
    })
}

/// Everything about a trial that must not depend on the workers.
fn outcome(trial: &Trial) -> String {
    let rungs: Vec<_> =
        trial.rungs.iter().map(|r| (r.epochs, r.best_epoch, r.select_loss, r.select_auc)).collect();
    format!(
        "{} {:?} {:?} {:?} {rungs:?} {:?}",
        trial.number, trial.parameters, trial.state, trial.error, trial.epochs
    )
}

fn expect_same_as_undisturbed(search: &Search) {
    let (expected, found) = (undisturbed().result(), search.result());
    assert_eq!(found.ended, Some(Ended::Complete));
    assert_eq!(
        found.trials.iter().map(outcome).collect::<Vec<_>>(),
        expected.trials.iter().map(outcome).collect::<Vec<_>>()
    );
    assert_eq!(found.best.map(|best| best.trial), expected.best.map(|best| best.trial));
    for trial in 0..3 {
        let file = |search: &Search| checkpoint(&search.folder().join(format!("trials/{trial:04}")));
        assert_same_tensors(&file(undisturbed()), &file(search));
    }
}

fn killed_worker(search: &Search) {
    let supervisor = search.begin("2");
    signal("KILL", &search.stop_a_worker());
    let printed = expect_success(supervisor);
    assert!(printed.contains("signal: 9") && printed.contains("best: trial"), "{printed}");
    expect_same_as_undisturbed(search);
    // One takeover, and no trial was claimed while another worker held it.
    let trials = search.result().trials;
    assert_eq!(trials.iter().map(|trial| trial.n_takeovers).sum::<usize>(), 1, "{trials:?}");
    for trial in &trials {
        assert_eq!(trial.generation as usize, trial.rungs.len() + trial.n_takeovers, "{trial:?}");
        assert!(trial.n_takeovers == 0 || trial.workers[0] != trial.workers[1], "{trial:?}");
    }
}

#[test]
fn a_search_ends_with_a_ranking_a_plot_and_a_trainable_configuration() {
    let search = undisturbed();
    let result = search.result();
    assert_eq!(result.trials.len(), 3);
    let finished: Vec<&Trial> = result.trials.iter().filter(|trial| trial.rungs.len() == 2).collect();
    let best = result.best.as_ref().unwrap();
    assert_eq!((finished.len(), finished[0].number, best.epochs), (1, best.trial, 6));
    let loss_at_first = |trial: &Trial| trial.rungs[0].select_loss;
    let smallest = result.trials.iter().map(loss_at_first).fold(f64::INFINITY, f64::min);
    assert!((loss_at_first(finished[0]) - smallest).abs() < 1e-12);
    assert!(result.spent_cpu_hours > 0.0 && result.spent_cpu_hours < result.budget_cpu_hours);
    assert!(read(search.folder().join("figures/tune.svg")).contains("select loss"));

    // best.yaml alone trains the same weights as the trial, although the trial was stopped at a rung and
    // resumed.
    let file = search.folder().join("best.yaml");
    succeed(trainer("train").arg("--config").arg(&file).arg("--run").arg(search.workbench.run()));
    let trial = search.folder().join(format!("trials/{:04}", best.trial));
    let frozen = |run: &Path| read(run.join("config.yaml"));
    assert_eq!(frozen(&search.workbench.run()), frozen(&trial));
    assert!(frozen(&trial).contains("pretrained.safetensors"), "{}", frozen(&trial));
    assert_same_tensors(&checkpoint(&search.workbench.run()), &checkpoint(&trial));

    // The file states the reasons.
    let first = &best.comparisons[0];
    let second = result.trials.iter().filter(|trial| trial.number != best.trial);
    let second = second.map(loss_at_first).fold(f64::INFINITY, f64::min);
    let other = first.other.unwrap();
    assert_eq!((first.place, first.n_trials, best.comparisons[1].other), (1, 3, None));
    assert!((other.margin - (second - smallest)).abs() < 1e-12 && other.margin > 0.0, "{first:?}");
    let chosen = std::fs::read_to_string(&file).unwrap();
    let head: String = chosen.lines().take_while(|line| line.starts_with('#')).collect();
    let status = succeed(&mut search.command(&["--status"]));
    for expected in
        ["place 1 of 3", &format!("better than trial {:04}", other.trial), "between seeds was not measured"]
    {
        assert!(head.contains(expected) && status.contains(expected), "{expected}: {head}\n{status}");
    }
    assert!(search.folder().join(".gitignore").is_file() && trial.join(".gitignore").is_file());

    succeed_with(&mut search.command(&["--status"]), &["finished", "paused"]);
}

#[test]
fn a_study_keeps_its_definition_and_refuses_unknown_keys() {
    let search = Search::new(None);
    let config = read(search.workbench.config());
    let with = |from: &str, to: &str| {
        assert!(config.contains(from));
        std::fs::write(search.workbench.config(), config.replace(from, to)).unwrap();
        fail(&mut search.command(&["--max-trials", "1"]))
    };
    let printed = with("training.learning_rate", "training.lerning_rate");
    assert!(printed.contains("training.lerning_rate is not a configuration key"), "{printed}");
    let printed = with("[1.0e-3, 1.0e-2]", "[1.0e-2, 1.0e-3]");
    assert!(printed.contains("log_uniform: [low, high]"), "{printed}");
    let printed = with("training.weight_decay: null", "data.select_fraction: { uniform: [0.1, 0.2] }");
    assert!(printed.contains("data.select_fraction cannot be searched"), "{printed}");
    // What failed before anything was trained is corrected in the same study.
    std::fs::write(search.workbench.config(), config.replace("pretrained", "missing")).unwrap();
    fail_with(&mut search.command(&[]), &["missing.safetensors"]);
    std::fs::write(search.workbench.config(), &config).unwrap();
    let printed = succeed(&mut search.command(&["--budget-cpu-hours", "0.000001"]));
    assert!(printed.contains("starts over with the new values"), "{printed}");
    assert!(printed.contains("best: trial 0000"), "{printed}");
    let printed = with("rungs: [3, 6]", "rungs: [3, 7]");
    assert!(printed.contains("trainer.tune.rungs: was [3,6], now [3,7]"), "{printed}");
    std::fs::write(search.workbench.config(), &config).unwrap();
    search.workbench.write_phantom("train/NORMAL/IM-9999-0001.png", 77, false);
    fail_with(&mut search.command(&["--max-trials", "1"]), &["the data: other files"]);
}

#[test]
fn a_killed_workers_trial_is_taken_over_in_the_file_store() {
    killed_worker(&Search::new(None));
}

#[test]
fn a_stalled_worker_that_wakes_up_changes_nothing() {
    let search = Search::new(None);
    let supervisor = search.begin("2");
    let process = search.stop_a_worker();
    wait_for("a takeover", || {
        // If it was stopped while it held the lock, the study has a new folder.
        let folders = std::fs::read_dir(search.folder().join("store")).unwrap().flatten();
        let texts = folders.filter_map(|entry| std::fs::read_to_string(entry.path().join("study.json")).ok());
        texts.into_iter().any(|text| text.contains("\"n_takeovers\": 1")).then_some(())
    });
    signal("CONT", &process);
    expect_success(supervisor);
    expect_same_as_undisturbed(&search);
    let logs = ["1", "2"].map(|n| read(search.folder().join(format!("logs/worker-{n}.log"))));
    assert!(logs.concat().contains("lost to another worker"), "{logs:?}");
}

/// One process stalls within an edit. Another's edit succeeds meanwhile, and the first is repeated.
fn stalled_edit(location: &StoreLocation, definition: &Definition) {
    let (mut stalls, mut goes_on) = (location.open().unwrap(), location.open().unwrap());
    stalls.begin(definition).unwrap();
    let add_trial = |study: &mut Study, learning_rate: f64| {
        let parameters = [("training.learning_rate".to_owned(), learning_rate.into())];
        study.trials.push(Trial::new(study.trials.len(), parameters.into()));
    };
    let (inside, is_inside) = std::sync::mpsc::channel();
    let (wake, is_woken) = std::sync::mpsc::channel();
    let n_asked = std::thread::scope(|scope| {
        let stalled = scope.spawn(move || {
            let mut n_asked = 0;
            let edit = &mut |study: &mut Study, _: &Liveness| {
                n_asked += 1;
                if n_asked == 1 {
                    inside.send(()).unwrap();
                    is_woken.recv().unwrap();
                }
                add_trial(study, 0.1);
                Ok(())
            };
            stalls.edit(edit).unwrap();
            n_asked
        });
        is_inside.recv().unwrap();
        let edit = &mut |study: &mut Study, _: &Liveness| {
            add_trial(study, 0.2);
            Ok(())
        };
        goes_on.edit(edit).unwrap();
        wake.send(()).unwrap();
        stalled.join().unwrap()
    });
    assert_eq!(n_asked, 2);
    let trials = goes_on.load().unwrap().unwrap().trials;
    let rates: Vec<_> = trials.iter().map(|trial| &trial.parameters["training.learning_rate"]).collect();
    assert_eq!(rates, [0.2, 0.1]);
}

#[test]
fn a_process_that_stalls_within_an_edit_blocks_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = StoreLocation::parse(None, &undisturbed().folder());
    let definition = store.open().unwrap().load().unwrap().unwrap().definition;
    stalled_edit(&StoreLocation::parse(None, folder.path()), &definition);
    if let Some(postgres) = postgres("stalled") {
        let url = postgres.url("postgres");
        stalled_edit(&StoreLocation::parse(Some(&url), folder.path()), &definition);
    }
}

#[test]
fn a_killed_workers_trial_is_taken_over_in_postgres() {
    let Some(postgres) = postgres("killed") else { return };
    killed_worker(&Search::new(Some(postgres.url("postgres"))));
}

fn postgres(name: &str) -> Option<Postgres> {
    if rig::postgres::programs(&repository()).is_err() {
        system_tests::skipped("no initdb, so no private Postgres");
        return None;
    }
    let folder = PathBuf::from(format!("/tmp/cxr-tune-{name}-{}", std::process::id()));
    Some(Postgres::start(&repository(), &folder, Options { fast: true, ..Options::default() }).unwrap())
}
