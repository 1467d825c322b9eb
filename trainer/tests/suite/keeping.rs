//! What a run leaves stays in its folder and out of git, names that are taken are said before anything is computed, and a run
//! that failed in its configuration goes on with another.

use crate::recorder::Recorder;
use crate::site::{Site, edit, files_below};
use crate::support::{Workbench, fail, repository, succeed};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

#[test]
fn readmes_commands_leave_the_repository_as_it_was() {
    let site = Site::get();
    assert_eq!(site.status, "", "git sees what a run left");
    let run = site.run();
    for file in ["report/REPORT.md", "bundle/bundle.json", ".gitignore", "figures/worst-test.png"] {
        assert!(run.join(file).is_file(), "{file} is not in the run directory");
    }
    // Beside the run: one for all that lie there.
    let looks = site.repository().join("runs/test-split-ledger.jsonl");
    let ledger = std::fs::read_to_string(&looks).unwrap();
    assert_eq!(ledger.lines().count(), 1, "{ledger}");
    let status = |folder: &Path| {
        let mut git = Command::new("git");
        succeed(git.current_dir(folder).args(["status", "--porcelain", "--ignored"]))
    };
    assert!(
        status(&site.repository()).contains("!! runs/"),
        "the run is not in the repository: this test sees nothing"
    );

    // A look with a bundle is entered beside its results, not in the ledger of whoever made it.
    let mut look = site.command("evaluate");
    look.args([
        "--config",
        "cxr.yaml",
        "--bundle",
        "runs/first/bundle",
        "--fold",
        "test",
        "--reason",
        "acceptance",
    ]);
    let printed = succeed(look.arg("--output").arg(site.elsewhere("acceptance")));
    assert!(printed.contains("acceptance/test-split-ledger.jsonl"), "{printed}");
    assert_eq!(std::fs::read_to_string(&looks).unwrap(), ledger);
    for file in ["evaluation-test.json", "test-split-ledger.jsonl", ".gitignore"] {
        assert!(site.elsewhere("acceptance").join(file).is_file(), "{file}");
    }
}

#[test]
fn names_that_are_taken_are_said_before_anything_is_computed() {
    let site = Site::get();
    let second = |arguments: &[&str]| {
        let mut run = site.command("run");
        run.args(["--config", "cxr.yaml", "--run", "runs/second"]).args(arguments);
        let printed = fail(&mut run);
        assert!(!printed.contains("step 1/"), "said too late: {printed}");
        printed
    };
    let printed = second(&[]);
    assert!(printed.contains("is registered by another run already"), "{printed}");
    assert!(printed.contains("trainer.export.version"), "{printed}");
    let printed = second(&["--bundle", "runs/first/bundle", "--reports", "runs/first/report"]);
    for expected in ["holds a bundle of another run", "holds a report of another run", "--replace"] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    let printed = second(&["--bundle", "runs/first/bundle", "--replace"]);
    assert!(printed.contains("exists with other weights"), "{printed}");
    let printed = second(&["--bundle", "config"]);
    assert!(printed.contains("holds files and no bundle.json"), "{printed}");
    let printed = second(&["--bump", "minor"]);
    assert!(printed.contains("--bump: no bundle"), "{printed}");
    let printed = fail(site.command("split").args(["--config", "cxr.yaml", "--run", "."]));
    assert!(printed.contains("is the root of a git repository"), "{printed}");
    let printed = second(&["--signing-key", "missing.pem"]);
    assert!(printed.contains("missing.pem: cannot be read"), "{printed}");

    let released: Value =
        serde_json::from_slice(&std::fs::read(site.run().join("release.json")).unwrap()).unwrap();
    let renamed = site.configured(
        "renamed.yaml",
        &[
            ("export/name", json!("another-name")),
            ("tracking/registered_model", released["registration"]["model"].clone()),
        ],
    );
    let mut run = site.command("run");
    let printed = fail(run.arg("--config").arg(renamed).args(["--run", "runs/second"]));
    assert!(printed.contains("holds versions of the bundle") && !printed.contains("step 1/"), "{printed}");

    let mut benchmark = site.command("benchmark bundle");
    benchmark.args(["--config", "cxr.yaml", "--architecture", "mobilenetv2", "--out", "models/default"]);
    let printed = fail(&mut benchmark);
    assert!(printed.contains("holds a bundle that was trained"), "{printed}");

    let _alone = Site::tracking();
    let mut run = site.command("run");
    run.args(["--config", "cxr.yaml", "--run", "runs/first", "--data"]).arg(site.elsewhere("other"));
    let printed = fail(&mut run);
    assert!(printed.contains("folds.json") && printed.contains("trained on other data"), "{printed}");
    assert!(!printed.contains("step 1/"), "said too late: {printed}");
}

#[test]
fn a_server_is_asked_for_taken_names_before_anything_is_computed() {
    let site = Site::get();
    let asked = |answers: &[(&'static str, Value)]| {
        let server = Recorder::start(answers);
        let config = site.configured("served.yaml", &[("tracking/server", json!(server.url))]);
        let printed = fail(site.command("run").arg("--config").arg(config).args(["--run", "runs/third"]));
        assert!(!printed.contains("step 1/"), "said too late: {printed}");
        assert!(!String::from_utf8_lossy(&server.sent()).contains("/create"), "asking created something");
        printed
    };
    let deleted = json!({ "experiment": { "experiment_id": "1", "lifecycle_stage": "deleted" } });
    let printed = asked(&[("experiments/get-by-name", deleted)]);
    assert!(
        printed.contains("was deleted there") && printed.contains("trainer.tracking.experiment"),
        "{printed}"
    );

    let released: Value =
        serde_json::from_slice(&std::fs::read(site.run().join("release.json")).unwrap()).unwrap();
    let tag = |key: &str, value: &Value| json!({ "key": key, "value": value });
    let version = json!({
        "version": "4", "run_id": "of-another-run",
        "tags": [tag("cxr_name", &released["name"]), tag("cxr_version", &released["version"])],
    });
    let printed = asked(&[("model-versions/search", json!({ "model_versions": [version] }))]);
    assert!(printed.contains("registered by another run already (as number 4)"), "{printed}");
}

#[test]
fn a_bundle_of_another_run_is_replaced_when_it_is_told_to() {
    let site = Site::get();
    let (own, moved) = (site.run().join("bundle"), site.elsewhere("moved"));
    for file in files_below(&own) {
        let copy = moved.join(file.strip_prefix(&own).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(file, copy).unwrap();
    }
    let run = || -> Value {
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(moved.join("bundle.json")).unwrap()).unwrap();
        manifest["training"]["run"].clone()
    };
    let text = std::fs::read_to_string(moved.join("bundle.json")).unwrap();
    let other = text.replace("\"run\": \"first\"", "\"run\": \"another\"");
    assert_ne!(text, other);
    std::fs::write(moved.join("bundle.json"), other).unwrap();
    let export = || {
        let mut export = site.command("export");
        export.args(["--config", "cxr.yaml", "--run", "runs/first", "--bundle"]).arg(&moved);
        export
    };
    let _alone = Site::tracking();
    let printed = fail(&mut export());
    assert!(printed.contains("holds a bundle of another run") && printed.contains("--replace"), "{printed}");
    assert_eq!(run(), json!("another"));
    succeed(export().arg("--replace"));
    assert_eq!(run(), json!("first"));
}

#[test]
fn a_report_of_another_run_is_replaced_when_it_is_told_to() {
    let site = Site::get();
    let reports = site.elsewhere("shipped");
    std::fs::create_dir_all(&reports).unwrap();
    std::fs::copy(repository().join("reports/REPORT.md"), reports.join("REPORT.md")).unwrap();
    let report = || {
        let mut report = site.command("report");
        report.args(["--config", "cxr.yaml", "--run", "runs/first", "--reports"]).arg(&reports);
        report
    };
    let printed = fail(&mut report());
    assert!(printed.contains("holds a report of another run") && printed.contains("--replace"), "{printed}");
    succeed(report().arg("--replace"));
    // From now on it is the run's own.
    succeed(&mut report());
}

fn configure(workbench: &Workbench, key: &str, value: Value) {
    edit(&workbench.config(), &workbench.config(), &[(key, value)]);
}

#[test]
fn a_run_that_failed_before_training_goes_on_when_it_is_corrected() {
    let workbench = Workbench::new(40, 1);
    configure(&workbench, "model/weights", json!("missing.safetensors"));
    let printed = fail(&mut workbench.command("train"));
    assert!(printed.contains("missing.safetensors"), "{printed}");
    let folds = || std::fs::read_to_string(workbench.run().join("folds.json")).unwrap();
    let before = folds();
    configure(&workbench, "model/weights", Value::Null);
    let printed = succeed(&mut workbench.command("split"));
    assert!(printed.contains("trainer.model.weights: was \"missing.safetensors\", now null"), "{printed}");
    assert_eq!(folds(), before, "no fold depends on the weights");

    configure(&workbench, "data/select_fraction", json!(0.3));
    let printed = succeed(&mut workbench.command("split"));
    assert!(printed.contains("trainer.data.select_fraction: was 0.2, now 0.3"), "{printed}");
    assert_ne!(folds(), before, "the folds are drawn again");

    // A file that made the data wrong may go as well.
    let before = folds();
    std::fs::remove_file(workbench.data().join("train/NORMAL/IM-0000-0000.png")).unwrap();
    let printed = succeed(&mut workbench.command("split"));
    assert!(printed.contains("divided again"), "{printed}");
    assert_ne!(folds(), before);

    // The first epoch of another process has no checkpoint yet.
    let config = std::fs::read_to_string(workbench.run().join("config.yaml")).unwrap();
    let training = std::fs::File::create(workbench.run().join("training.lock")).unwrap();
    training.lock_shared().unwrap();
    configure(&workbench, "training/epochs", json!(2));
    let printed = fail(&mut workbench.command("split"));
    assert!(printed.contains("another process trains"), "{printed}");
    assert_eq!(std::fs::read_to_string(workbench.run().join("config.yaml")).unwrap(), config);
    drop(training);
    succeed(&mut workbench.command("split"));
}

#[test]
fn after_training_keys_without_weights_may_change_and_the_others_are_named() {
    let site = Site::get();
    let report = |config: &Path| {
        let mut report = site.command("report");
        report.arg("--config").arg(config).args(["--run", "runs/first", "--text-alone", "--reports"]);
        report.arg(site.elsewhere("renamed-report"));
        report
    };
    let other_weights = site.configured("other-weights.yaml", &[("training/learning_rate", json!(0.001))]);
    let printed = fail(&mut report(&other_weights));
    for expected in [
        "trained with another configuration",
        "trainer.training.learning_rate: was 0.003, now 0.001",
        "--run",
    ] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    let same_weights = site.configured(
        "same-weights.yaml",
        &[
            ("data/name", json!("the name that was meant")),
            ("data/max_unreadable_share", json!(0.06)),
            ("training/workers", json!(1)),
            ("evaluation/worst_cases", json!(3)),
        ],
    );
    succeed(&mut report(&same_weights));
    let text = std::fs::read_to_string(site.elsewhere("renamed-report/REPORT.md")).unwrap();
    assert!(text.contains("the name that was meant"), "{text}");
}
