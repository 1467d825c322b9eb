//! Training from the command line: it learns, survives being killed, and ends in a signed bundle.

use crate::support::{
    Workbench, assert_same_tensors, configure, fail_with, onnxruntime, read, repository, succeed,
    succeed_with, wait_for,
};
use crate::truth;
use cxr_trainer::bundle;
use cxr_trainer::model::weights;
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::DecodePublicKey;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_complete_run_learns_and_ends_in_a_signed_bundle() {
    let workbench = Workbench::new(120, 8);
    truth::state_other_provenance(&workbench);
    let (mut run, reports) = (run_chain(&workbench), workbench.path().join("reports"));
    let printed = succeed(&mut run);
    let metrics = read(workbench.run().join("metrics.csv"));
    let column = |line: &str, index: usize| line.split(',').nth(index).unwrap().parse::<f64>().unwrap();
    let losses: Vec<f64> = metrics.lines().skip(1).map(|line| column(line, 2)).collect();
    // The loss of a single epoch of few batches is noisy.
    let last = losses.iter().rev().take(3).sum::<f64>() / 3.0;
    assert!(last < 0.7 * losses[0], "the training loss barely falls:\n{metrics}");

    let public_key = read(repository().join("config/development-signing-key.pub.pem"));
    let key = VerifyingKey::from_public_key_pem(&public_key).unwrap();
    let bundle = bundle::open(&workbench.path().join("bundle"), Some(&key)).unwrap();
    let test = bundle.manifest().evaluation.test.as_ref().unwrap();
    assert!(test.auc.value > 0.9, "AUC {:?} on phantoms\n{printed}", test.auc);
    assert!(test.auc.ci95[0] <= test.auc.value && test.auc.value <= test.auc.ci95[1]);
    let report = read(reports.join("REPORT.md"));
    expect_complete(&report, &reports);
    truth::expect_own_words_only(&workbench, &reports);
    let own = read(workbench.path().join("bundle/REPORT.md"));
    assert!(!own.contains("]("), "a bundle's report stands alone: no links");
    assert!(
        own.contains(&format!("{:.4}", test.auc.value)) && report.contains(&format!("{:.4}", test.auc.value))
    );
    let (_, variant) = bundle.variant(None).unwrap();
    let policy = &variant.policy;
    assert!(policy.chosen.sensitivity >= 0.9 && policy.review_band.low <= policy.threshold, "{policy:?}");

    let look = read(workbench.path().join("ledger.jsonl"));
    assert_eq!(look.lines().count(), 1, "{look}");
    succeed(&mut run);
    fail_with(workbench.command("evaluate").args(["--fold", "test"]), &["--reason"]);
    let again = read(workbench.path().join("ledger.jsonl"));
    assert_eq!(again, look, "a repeated run has nothing new to see on the test split");

    // Scoring the bundle with ONNX Runtime gives the run's table and adds one look at the test fold.
    let table = |subject: &[&std::ffi::OsStr], fold: &str| {
        let mut command = workbench.command("evaluate");
        succeed(command.args(subject).args(["--fold", fold, "--reason", "verification"]))
            .lines()
            .filter(|line| line.starts_with("  "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (bundle, library) = (workbench.path().join("bundle"), onnxruntime());
    let released = ["--bundle".as_ref(), bundle.as_os_str(), "--onnxruntime".as_ref(), library.as_os_str()];
    assert_eq!(table(&released, "select"), table(&[], "select"));
    assert_eq!(table(&released, "test").len(), 9);
    let looks = read(workbench.path().join("ledger.jsonl"));
    assert_eq!(looks.lines().count(), 2, "{looks}");
}

/// Checks that every section and every picture is there, and that only the expected values are missing.
fn expect_complete(report: &str, folder: &Path) {
    let sections = "1. Data set|2. Processing|3. Model|4. Evaluation|5. Explainability|6. Robustness|\
        7. Deployment|8. Reproducibility|9. Findings|10. Conclusion";
    let sections: Vec<&str> = sections.split('|').collect();
    let found: Vec<&str> = report.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(found.len(), sections.len());
    assert!(found.iter().zip(sections).all(|(found, expected)| found.starts_with(expected)), "{found:?}");

    let pictures =
        report.lines().filter_map(|line| line.strip_prefix("![")?.split_once("](")?.1.strip_suffix(')'));
    let n_pictures = pictures
        .inspect(|name| {
            let content = std::fs::read(folder.join(name)).unwrap();
            assert!(
                content.starts_with(b"<svg") || content.starts_with(b"\x89PNG"),
                "{name} is not a picture"
            );
        })
        .count();
    assert!(n_pictures > 15, "{n_pictures} pictures");

    let missing: Vec<&str> = report
        .lines()
        .filter(|line| line.contains("not measured"))
        .filter_map(|line| line.strip_prefix("- **")?.split_once(":**"))
        .map(|(label, _)| label)
        .collect();
    let expected = [
        "Originals",
        "Search",
        "Throughput and memory",
        "Against the same training in PyTorch",
        "On a GPU",
        "Images other than chest radiographs",
        "External set",
        "Re-split",
        "Lung fields",
        "Clinical plausibility, read by a radiologist",
        "Originals against their small copies",
        "By age",
        "By sex",
        "By projection",
        "By scanner",
        "By site",
        "Out-of-distribution test set",
        "Augmentation ablation",
        "Load test, latency, throughput, failover",
        "Drift tests, rolling metrics, alert thresholds",
        "Periodic ECE",
        "Incident response",
        "Not asked for by the gates",
        "Images from elsewhere",
        "Elsewhere",
        "Maps",
        "Trials",
    ];
    assert_eq!(missing, expected, "{report}");
}

/// Settings that add state or random numbers.
const STATEFUL_SETTINGS: &str = "workers: 2
    optimiser: adam
    mixup_alpha: 0.4
    head_first_epochs: 1
    layer_decay: 0.8
    loss: { kind: focal, focal_gamma: 1.5, label_smoothing: 0.05 }
    deterministic: true
";

#[test]
fn a_killed_run_goes_on_bit_for_bit() {
    for stateful in [false, true] {
        let (straight, killed) = (Workbench::new(40, 3), Workbench::new(40, 3));
        for workbench in [&straight, &killed].into_iter().filter(|_| stateful) {
            configure(workbench, "    loss: { label_smoothing: 0.0 }\n", "");
            configure(workbench, "workers: 2\n", STATEFUL_SETTINGS);
            configure(workbench, "average_decay: 0.8", "average_decay: null");
            configure(workbench, "dropout: 0.0", "dropout: 0.3, freeze_depth: 2");
        }
        succeed(&mut straight.command("train"));
        kill_in_the_middle_of_an_epoch(&killed);
        succeed_with(&mut killed.command("train"), &["resuming after epoch"]);
        assert_same_weights(&straight, &killed);
    }
}

#[test]
fn a_chain_that_is_killed_in_every_step_leaves_the_same_results() {
    let (straight, killed) = (Workbench::new(60, 8), Workbench::new(60, 8));
    succeed(&mut run_chain(&straight));
    for step in 1..=9 {
        kill_in_step(run_chain(&killed), step);
    }
    succeed(&mut run_chain(&killed));

    assert_same_weights(&straight, &killed);
    let same = |file: &Path| {
        let content = |workbench: &Workbench| std::fs::read(workbench.path().join(file)).unwrap();
        assert!(content(&straight) == content(&killed), "{} differs", file.display());
    };
    let results = "eda.json split.json folds.json calibration.json evaluation-select.json evaluation-calibrate.json \
        evaluation-test.json scores-test.csv robustness.json explain.json figures/roc-pr-test.svg";
    results.split(' ').for_each(|file| same(&Path::new("run").join(file)));
    same(Path::new("bundle/model.onnx"));
}

fn run_chain(workbench: &Workbench) -> Command {
    let mut run = workbench.command("run");
    run.arg("--onnxruntime").arg(onnxruntime()).arg("--reports").arg(workbench.path().join("reports"));
    run
}

/// SIGKILL shortly after a step of the chain has begun.
fn kill_in_step(mut chain: Command, step: usize) {
    let mut child = chain.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let begins = format!("step {step}/");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with(&begins)), "the chain ended before step {step}");
    std::thread::sleep(Duration::from_millis(60));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// SIGKILL half an epoch after the first checkpoint.
fn kill_in_the_middle_of_an_epoch(workbench: &Workbench) {
    let mut child = workbench.command("train").stdout(Stdio::null()).spawn().unwrap();
    // The table is written after the checkpoint; its last column is the speed.
    let metrics = workbench.run().join("metrics.csv");
    let metrics = wait_for("metrics.csv", || std::fs::read_to_string(&metrics).ok());
    let fields: Vec<&str> = metrics.lines().nth(1).unwrap().split(',').collect();
    let (steps, speed) = (fields[1].parse::<f64>().unwrap(), fields.last().unwrap().parse::<f64>().unwrap());
    std::thread::sleep(Duration::from_secs_f64(0.5 * steps * 8.0 / speed));
    child.kill().unwrap();
    child.wait().unwrap();
    let checkpoint = workbench.run().join("checkpoint.safetensors");
    let finished = weights::read(&checkpoint).unwrap().1.unwrap().matches("\"epoch\"").count();
    assert!(finished < 3, "training ended before it could be killed");
}

fn assert_same_weights(expected: &Workbench, found: &Workbench) {
    for file in ["checkpoint.safetensors", "best.safetensors"] {
        assert_same_tensors(&expected.run().join(file), &found.run().join(file));
    }
    // The whole file matters, because its digest identifies the model.
    let best = |workbench: &Workbench| std::fs::read(workbench.run().join("best.safetensors")).unwrap();
    assert!(best(expected) == best(found), "best.safetensors differs outside the tensors");
}

#[test]
fn the_same_seed_gives_the_same_digest_and_another_seed_another() {
    let digest = |seed: &str| {
        let workbench = Workbench::new(40, 1);
        workbench.set(&format!("{{ seed: {seed}, training: {{ mixup_alpha: 0.2 }} }}"));
        let printed = succeed(&mut workbench.command("train"));
        printed.lines().find_map(|line| line.strip_prefix("weights digest ").map(str::to_owned)).unwrap()
    };
    let first = digest("1");
    assert_eq!(first, digest("1"));
    assert_ne!(first, digest("2"));
}

#[test]
fn a_run_keeps_its_configuration_and_its_data() {
    let workbench = Workbench::new(40, 1);
    succeed(&mut workbench.command("train"));
    let config = read(workbench.config());
    std::fs::write(workbench.config(), config.replace("epochs: 1", "epochs: 2")).unwrap();
    fail_with(&mut workbench.command("train"), &["trainer.training.epochs: was 1, now 2"]);

    std::fs::write(workbench.config(), config).unwrap();
    workbench.write_phantom("train/NORMAL/IM-9999-0001.png", 77, false);
    fail_with(&mut workbench.command("calibrate"), &["folds.json", "other data"]);
}
