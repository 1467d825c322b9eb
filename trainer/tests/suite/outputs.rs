//! The outputs of a run: they stay in its folder and out of git, outputs and names of other runs are refused
//! before anything is computed, and a changed configuration is accepted only while no output depends on it.

use crate::recorder::Recorder;
use crate::site::{Site, edit, files_below};
use crate::support::{Workbench, fail, repository, succeed};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

fn read_json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[test]
fn the_readmes_commands_leave_the_repository_clean() {
    let site = Site::get();
    assert_eq!(site.status, "", "git sees outputs of the run");
    let run = site.run();
    for file in ["report/REPORT.md", "bundle/bundle.json", ".gitignore", "figures/worst-test.png"] {
        assert!(run.join(file).is_file(), "{file} is not in the run directory");
    }
    // The runs in a folder share its ledger.
    let looks = site.repository().join("runs/test-split-ledger.jsonl");
    let ledger = std::fs::read_to_string(&looks).unwrap();
    assert_eq!(ledger.lines().count(), 1, "{ledger}");
    let status = |folder: &Path| {
        let mut git = Command::new("git");
        succeed(git.current_dir(folder).args(["status", "--porcelain", "--ignored"]))
    };
    assert!(
        status(&site.repository()).contains("!! runs/"),
        "the run is not in the repository, so this test proves nothing"
    );

    // A look with a bundle is recorded beside its results, not in the ledger of the run that made it.
    let mut look = site.command("evaluate");
    look.args(["--config", "cxr.yaml", "--bundle", "runs/first/bundle", "--fold", "test"]);
    look.args(["--reason", "acceptance", "--output"]).arg(site.elsewhere("acceptance"));
    let printed = succeed(&mut look);
    assert!(printed.contains("acceptance/test-split-ledger.jsonl"), "{printed}");
    assert_eq!(std::fs::read_to_string(&looks).unwrap(), ledger);
    for file in ["evaluation-test.json", "test-split-ledger.jsonl", ".gitignore"] {
        assert!(site.elsewhere("acceptance").join(file).is_file(), "{file}");
    }
}

#[test]
fn taken_names_are_refused_before_anything_is_computed() {
    let site = Site::get();
    let second = |arguments: &[&str]| {
        let mut run = site.command("run");
        run.args(["--config", "cxr.yaml", "--run", "runs/second"]).args(arguments);
        let printed = fail(&mut run);
        assert!(!printed.contains("step 1/"), "too late: {printed}");
        printed
    };
    let cases: [(&[&str], &[&str]); 6] = [
        (&[], &["is registered by another run already", "trainer.export.version"]),
        (
            &["--bundle", "runs/first/bundle", "--reports", "runs/first/report"],
            &["holds a bundle of another run", "holds a report of another run", "--replace"],
        ),
        (&["--bundle", "runs/first/bundle", "--replace"], &["exists with other weights"]),
        (&["--bundle", "config"], &["holds files and no bundle.json"]),
        (&["--bump", "minor"], &["--bump: there is no bundle"]),
        (&["--signing-key", "missing.pem"], &["missing.pem: cannot be read"]),
    ];
    for (arguments, expected) in cases {
        let printed = second(arguments);
        for text in expected {
            assert!(printed.contains(text), "{text}: {printed}");
        }
    }
    let printed = fail(site.command("split").args(["--config", "cxr.yaml", "--run", "."]));
    assert!(printed.contains("is the root of a git repository"), "{printed}");

    let released = read_json(&site.run().join("release.json"));
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
    assert!(!printed.contains("step 1/"), "too late: {printed}");
}

#[test]
fn a_server_is_asked_for_taken_names_before_anything_is_computed() {
    let site = Site::get();
    let asked = |answers: &[(&'static str, Value)]| {
        let server = Recorder::start(answers);
        let config = site.configured("served.yaml", &[("tracking/server", json!(server.url))]);
        let printed = fail(site.command("run").arg("--config").arg(config).args(["--run", "runs/third"]));
        assert!(!printed.contains("step 1/"), "too late: {printed}");
        assert!(!String::from_utf8_lossy(&server.sent()).contains("/create"), "asking created something");
        printed
    };
    let deleted = json!({ "experiment": { "experiment_id": "1", "lifecycle_stage": "deleted" } });
    let printed = asked(&[("experiments/get-by-name", deleted)]);
    assert!(
        printed.contains("was deleted there") && printed.contains("trainer.tracking.experiment"),
        "{printed}"
    );

    let released = read_json(&site.run().join("release.json"));
    let tag = |key: &str, value: &Value| json!({ "key": key, "value": value });
    let version = json!({
        "version": "4", "run_id": "of-another-run",
        "tags": [tag("cxr_name", &released["name"]), tag("cxr_version", &released["version"])],
    });
    let printed = asked(&[("model-versions/search", json!({ "model_versions": [version] }))]);
    assert!(printed.contains("registered by another run already (as number 4)"), "{printed}");
}

#[test]
fn a_bundle_of_another_run_is_replaced_on_request() {
    let site = Site::get();
    let (own, moved) = (site.run().join("bundle"), site.elsewhere("moved"));
    for file in files_below(&own) {
        let copy = moved.join(file.strip_prefix(&own).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(file, copy).unwrap();
    }
    let run = || read_json(&moved.join("bundle.json"))["training"]["run"].clone();
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
fn a_report_of_another_run_is_replaced_on_request() {
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
    // Now it is the run's own report.
    succeed(&mut report());
}

fn configure(workbench: &Workbench, key: &str, value: Value) {
    edit(&workbench.config(), &workbench.config(), &[(key, value)]);
}

#[test]
fn a_run_that_failed_before_training_accepts_a_corrected_configuration() {
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

    // Images may be removed as well.
    let before = folds();
    std::fs::remove_file(workbench.data().join("train/NORMAL/IM-0000-0000.png")).unwrap();
    let printed = succeed(&mut workbench.command("split"));
    assert!(printed.contains("divided again"), "{printed}");
    assert_ne!(folds(), before);

    // In its first epoch, another process has no checkpoint yet.
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
fn after_training_only_keys_may_change_on_which_no_weight_depends() {
    let site = Site::get();
    let report = |config: &Path| {
        let mut report = site.command("report");
        report.arg("--config").arg(config).args(["--run", "runs/first", "--text-alone", "--reports"]);
        report.arg(site.elsewhere("renamed-report"));
        report
    };
    let other_weights = site.configured("other-weights.yaml", &[("training/learning_rate", json!(0.001))]);
    let printed = fail(&mut report(&other_weights));
    let change = "trainer.training.learning_rate: was 0.003, now 0.001";
    for expected in ["trained with another configuration", change, "--run"] {
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
