//! The search as a user sees it: several real processes, one of which is killed or stalled in the middle of a trial. The
//! study must end as one that nobody disturbed.

use crate::support::{Workbench, fail, repository, succeed};
use cxr_trainer::model::{Architecture, Network, Precision, weights};
use cxr_trainer::tune::TuneFile;
use cxr_trainer::tune::place::Place;
use cxr_trainer::tune::results::Ended;
use cxr_trainer::tune::scheduler::Moment;
use cxr_trainer::tune::study::{Definition, Study, Trial};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tch::Device;

/// Three trials of which the best goes on, once all are there: the outcome does not depend on who is faster.
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

/// Weights to begin from, in a folder that no default names.
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
        let config = std::fs::read_to_string(workbench.config()).unwrap();
        let begun = config.replace("weights: null", &format!("weights: {}", weights.display()));
        assert_ne!(begun, config);
        std::fs::write(workbench.config(), begun.trim_end().to_owned() + SEARCH).unwrap();
        Self { workbench, store }
    }

    fn folder(&self) -> PathBuf {
        self.workbench.path().join("study")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cxr-trainer"));
        command.current_dir(repository()).env("OMP_NUM_THREADS", "1").arg("tune");
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

    /// Waits until some worker has written an epoch of a trial that it is still at, stops it there, and gives the worker's
    /// process.
    fn stop_somebody_at_work(&self) -> String {
        loop {
            let process = wait_for("a checkpoint of a trial that is being trained", || {
                self.at_work()
                    .into_iter()
                    .find(|(trial, _)| checkpoint(trial).exists())
                    .map(|(_, process)| process)
            });
            signal("STOP", &process);
            // It may have ended its trial before it was stopped.
            if self.at_work().iter().any(|(_, stopped)| *stopped == process) {
                return process;
            }
            signal("CONT", &process);
        }
    }

    /// The folders of the trials that are being trained, and the processes that train them.
    fn at_work(&self) -> Vec<(PathBuf, String)> {
        if !self.folder().join("trials").exists() {
            return Vec::new();
        }
        let table = succeed(&mut self.command(&["--status"]));
        let running = table.lines().filter(|line| line.contains("running"));
        let trials = running.filter_map(|line| {
            let number: usize = line.split_whitespace().next()?.parse().ok()?;
            // machine-process-beginning
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

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited two minutes for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), process]).status().unwrap().success());
}

fn ends_well(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

/// The study that nobody disturbed, by one worker.
fn undisturbed() -> &'static Search {
    static STUDY: OnceLock<Search> = OnceLock::new();
    STUDY.get_or_init(|| {
        let search = Search::new(None);
        succeed(&mut search.command(&[]));
        search
    })
}

/// Everything about a trial that must not depend on who trained it, when, and how often.
fn outcome(trial: &Trial) -> String {
    let rungs: Vec<_> =
        trial.rungs.iter().map(|r| (r.epochs, r.best_epoch, r.select_loss, r.select_auc)).collect();
    format!(
        "{} {:?} {:?} {:?} {rungs:?} {:?}",
        trial.number, trial.parameters, trial.state, trial.error, trial.epochs
    )
}

fn expect_as_undisturbed(search: &Search) {
    let (expected, found) = (undisturbed().result(), search.result());
    assert_eq!(found.ended, Some(Ended::Complete));
    assert_eq!(
        found.trials.iter().map(outcome).collect::<Vec<_>>(),
        expected.trials.iter().map(outcome).collect::<Vec<_>>()
    );
    assert_eq!(found.best.map(|best| best.trial), expected.best.map(|best| best.trial));
    for trial in 0..3 {
        let file = |search: &Search| checkpoint(&search.folder().join(format!("trials/{trial:04}")));
        let (expected, _) = weights::read(&file(undisturbed())).unwrap();
        let (found, _) = weights::read(&file(search)).unwrap();
        assert_eq!(expected.len(), found.len());
        assert!(expected.iter().all(|(name, tensor)| tensor.equal(&found[name])), "trial {trial} differs");
    }
}

fn killed_worker(search: &Search) {
    let supervisor = search.begin("2");
    signal("KILL", &search.stop_somebody_at_work());
    let printed = ends_well(supervisor);
    assert!(printed.contains("signal: 9") && printed.contains("best: trial"), "{printed}");
    expect_as_undisturbed(search);
    // Taken over once; nothing was ever claimed beside its holder.
    let trials = search.result().trials;
    assert_eq!(trials.iter().map(|trial| trial.n_takeovers).sum::<usize>(), 1, "{trials:?}");
    for trial in &trials {
        assert_eq!(trial.generation as usize, trial.rungs.len() + trial.n_takeovers, "{trial:?}");
        assert!(trial.n_takeovers == 0 || trial.workers[0] != trial.workers[1], "{trial:?}");
    }
}

#[test]
fn a_search_ends_with_a_ranking_a_plot_and_a_configuration_that_trains() {
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
    assert!(
        std::fs::read_to_string(search.folder().join("figures/tune.svg")).unwrap().contains("select loss")
    );

    // The chosen configuration is whole: alone it trains what the trial trained, without the search, its files and its options. What
    // was stopped at a rung and went on is what a training without a stop is.
    let file = search.folder().join("best.yaml");
    let mut straight = Command::new(env!("CARGO_BIN_EXE_cxr-trainer"));
    straight.current_dir(repository()).env("OMP_NUM_THREADS", "1").arg("train").arg("--config").arg(&file);
    succeed(straight.arg("--run").arg(search.workbench.run()));
    let trial = search.folder().join(format!("trials/{:04}", best.trial));
    let frozen = |run: &Path| std::fs::read_to_string(run.join("config.yaml")).unwrap();
    assert_eq!(frozen(&search.workbench.run()), frozen(&trial));
    assert!(frozen(&trial).contains("pretrained.safetensors"), "{}", frozen(&trial));
    let (expected, _) = weights::read(&checkpoint(&search.workbench.run())).unwrap();
    let (found, _) = weights::read(&checkpoint(&trial)).unwrap();
    assert!(expected.iter().all(|(name, tensor)| tensor.equal(&found[name])));

    // And it says why: what it beat at the rung where all were compared, by how much, and what nobody measured.
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

    let printed = succeed(&mut search.command(&["--status"]));
    assert!(printed.contains("finished") && printed.contains("paused"), "{printed}");
}

#[test]
fn a_study_keeps_its_definition_and_refuses_unknown_keys() {
    let search = Search::new(None);
    let config = std::fs::read_to_string(search.workbench.config()).unwrap();
    let with = |from: &str, to: &str| {
        assert!(config.contains(from));
        std::fs::write(search.workbench.config(), config.replace(from, to)).unwrap();
        fail(&mut search.command(&["--max-trials", "1"]))
    };
    let printed = with("training.learning_rate", "training.lerning_rate");
    assert!(printed.contains("training.lerning_rate is no key"), "{printed}");
    let printed = with("[1.0e-3, 1.0e-2]", "[1.0e-2, 1.0e-3]");
    assert!(printed.contains("log_uniform: [low, high]"), "{printed}");
    let printed = with("training.weight_decay: null", "data.select_fraction: { uniform: [0.1, 0.2] }");
    assert!(printed.contains("data.select_fraction cannot be searched"), "{printed}");
    // What failed before anything was trained is corrected in the same study.
    std::fs::write(search.workbench.config(), config.replace("pretrained", "missing")).unwrap();
    let printed = fail(&mut search.command(&[]));
    assert!(printed.contains("missing.safetensors"), "{printed}");
    std::fs::write(search.workbench.config(), &config).unwrap();
    let printed = succeed(&mut search.command(&["--budget-cpu-hours", "0.000001"]));
    assert!(printed.contains("begins with the new values"), "{printed}");
    assert!(printed.contains("best: trial 0000"), "{printed}");
    let printed = with("rungs: [3, 6]", "rungs: [3, 7]");
    assert!(printed.contains("trainer.tune.rungs: was [3,6], now [3,7]"), "{printed}");
    std::fs::write(search.workbench.config(), &config).unwrap();
    search.workbench.write_phantom("train/NORMAL/IM-9999-0001.png", 77, false);
    let printed = fail(&mut search.command(&["--max-trials", "1"]));
    assert!(printed.contains("the data: other files"), "{printed}");
}

#[test]
fn a_killed_workers_trial_is_taken_over_in_the_file_store() {
    killed_worker(&Search::new(None));
}

#[test]
fn a_stalled_worker_that_wakes_up_changes_nothing() {
    let search = Search::new(None);
    let supervisor = search.begin("2");
    let process = search.stop_somebody_at_work();
    wait_for("a takeover", || {
        // It may have been stopped with the lock in its hand; then the study has moved on.
        let folders = std::fs::read_dir(search.folder().join("store")).unwrap().flatten();
        let texts = folders.filter_map(|entry| std::fs::read_to_string(entry.path().join("study.json")).ok());
        texts.into_iter().any(|text| text.contains("\"n_takeovers\": 1")).then_some(())
    });
    signal("CONT", &process);
    ends_well(supervisor);
    expect_as_undisturbed(&search);
    let logs = ["1", "2"]
        .map(|n| std::fs::read_to_string(search.folder().join(format!("logs/worker-{n}.log"))).unwrap());
    assert!(logs.concat().contains("lost to another worker"), "{logs:?}");
}

/// One process stalls in the middle of an edit; another's goes through meanwhile, and the first is asked again.
fn stalled_edit(place: &Place, definition: &Definition) {
    let (mut stalls, mut goes_on) = (place.open().unwrap(), place.open().unwrap());
    stalls.begin(definition).unwrap();
    let draw = |study: &mut Study, learning_rate: f64| {
        let parameters = [("training.learning_rate".to_owned(), learning_rate.into())];
        study.trials.push(Trial::new(study.trials.len(), parameters.into()));
    };
    let (inside, is_inside) = std::sync::mpsc::channel();
    let (wake, is_woken) = std::sync::mpsc::channel();
    let n_asked = std::thread::scope(|scope| {
        let stalled = scope.spawn(move || {
            let mut n_asked = 0;
            let edit = &mut |study: &mut Study, _: &Moment| {
                n_asked += 1;
                if n_asked == 1 {
                    inside.send(()).unwrap();
                    is_woken.recv().unwrap();
                }
                draw(study, 0.1);
                Ok(())
            };
            stalls.edit(edit).unwrap();
            n_asked
        });
        is_inside.recv().unwrap();
        let edit = &mut |study: &mut Study, _: &Moment| {
            draw(study, 0.2);
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
fn a_process_that_stalls_within_an_edit_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = Place::of(None, &undisturbed().folder());
    let definition = store.open().unwrap().load().unwrap().unwrap().definition;
    stalled_edit(&Place::of(None, folder.path()), &definition);
    match Cluster::start("stalled") {
        Some(cluster) => stalled_edit(&Place::of(Some(&cluster.url), folder.path()), &definition),
        None => eprintln!("skipped with Postgres: no initdb, so no private Postgres"),
    }
}

#[test]
fn a_killed_workers_trial_is_taken_over_in_postgres() {
    let Some(cluster) = Cluster::start("killed") else {
        eprintln!("skipped: no initdb, so no private Postgres");
        return;
    };
    killed_worker(&Search::new(Some(cluster.url.clone())));
}

/// A private Postgres that ends with the test.
struct Cluster {
    folder: PathBuf,
    url: String,
}

impl Cluster {
    fn start(name: &str) -> Option<Self> {
        let folder = PathBuf::from(format!("/tmp/cxr-tune-{name}-{}", std::process::id()));
        let mut start = Command::new(repository().join("scripts/private-postgres.sh"));
        let output = start.arg("start").arg(&folder).arg("--fast").output().unwrap();
        if !output.status.success() {
            let printed = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(printed.contains("not installed"), "{printed}");
            return None;
        }
        Some(Self { folder, url: String::from_utf8(output.stdout).unwrap().trim().to_owned() })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Command::new(repository().join("scripts/private-postgres.sh"))
            .arg("stop")
            .arg(&self.folder)
            .status();
    }
}
