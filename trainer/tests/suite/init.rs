//! `init` writes a configuration that runs, from options or standard input, and names what is missing.

use crate::support::{Workbench, assert_contains, fail, succeed};
use serde_yaml_ng::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn trainer(folder: &Path, subcommand: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cxr-trainer"));
    command.current_dir(folder).env("OMP_NUM_THREADS", "1").arg(subcommand);
    command
}

/// Runs the command with these lines on standard input.
fn with_input(command: &mut Command, lines: &[&str]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Fails if the command exits before it has read all lines.
    let _ = child.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes());
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Three class folders, each with 12 patients of two images.
fn radiographs() -> Workbench {
    let workbench = Workbench::new(0, 1);
    for (class, number) in [("Normal", 0), ("Opacity", 1), ("Other", 2)] {
        for i in 0..24 {
            let path = format!("{class}/ward-{:03}_{}.png", number * 100 + i / 2, i % 2);
            workbench.write_large(&path, (number * 1000 + i) as u64, number > 0);
        }
    }
    workbench
}

#[test]
fn all_missing_answers_are_named_and_nothing_is_written() {
    let workbench = radiographs();
    let printed = fail(trainer(workbench.path(), "init").arg("data"));
    assert_contains(
        &printed,
        &[
            "--class 'Normal=negative' (or positive, or exclude)",
            "--class 'Other=negative'",
            "--patient-pattern REGEX, --table FILE or --each-file-is-a-patient",
            "--name",
            "--intended-use",
            "--signing-key",
            "on a terminal",
        ],
    );
    assert!(!workbench.path().join("cxr.yaml").exists());
    let printed = fail(trainer(workbench.path(), "init").args(["data", "--class", "Opacities=positive"]));
    assert!(printed.contains("did you mean `Opacity`?"), "{printed}");
}

#[test]
fn options_alone_make_a_configuration_that_runs() {
    let workbench = radiographs();
    let init = || {
        let mut command = trainer(workbench.path(), "init");
        command
            .args("data --class NORMAL=negative --class Opacity=positive --class Other=exclude".split(' '));
        command.args(["--patient-pattern", "^ward-([0-9]+)_", "--name", "O'Neill's ward: 2024"]);
        command.args([
            "--intended-use",
            "A test: no patient's care depends on it.",
            "--signing-key",
            "key.pem",
        ]);
        command.args(["--ages", "18-120", "--views", "PA,ap", "--population", "phantoms"]);
        command
    };
    let printed = succeed(&mut init());
    assert_contains(&printed, &["key.pub.pem", "cxr-trainer run --config cxr.yaml"]);
    let file = std::fs::read_to_string(workbench.path().join("cxr.yaml")).unwrap();
    let config: Value = serde_yaml_ng::from_str(&file).unwrap();
    let trainer_section = &config["trainer"];
    assert_eq!(trainer_section["data"]["name"], "O'Neill's ward: 2024");
    assert_eq!(trainer_section["provenance"]["population"], "phantoms");
    assert!(trainer_section["provenance"]["source"].is_null(), "null means not stated");
    assert_eq!(trainer_section["export"]["intended_use"]["views"][1], "AP");
    assert!(file.contains("# How to find the patient of a file."), "{file}");
    let printed = fail(&mut init());
    assert!(printed.contains("cxr.yaml: exists"), "{printed}");

    // From any folder.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut split = trainer(elsewhere.path(), "split");
    succeed(split.arg("--config").arg(workbench.path().join("cxr.yaml")).args(["--run", "first"]));
    assert!(elsewhere.path().join("first/folds.json").exists());
}

#[test]
fn answers_on_standard_input_make_a_configuration_and_an_invalid_answer_fails() {
    let workbench = radiographs();
    // An empty line takes the suggestion, or means "not stated".
    let lines = [
        "", "", "exclude", "", "Ward 7", "A test.", "", "PA", "", "a ward", "", "", "", "", "", "", "", "",
        "", "", "",
    ];
    let output = with_input(trainer(workbench.path(), "init").arg("data"), &lines);
    let printed = text(&output);
    assert!(output.status.success(), "{printed}");
    assert_contains(&printed, &["Label of the class Opacity: negative, positive or exclude? [positive]"]);
    let file = std::fs::read_to_string(workbench.path().join("cxr.yaml")).unwrap();
    let config: Value = serde_yaml_ng::from_str(&file).unwrap();
    let data = &config["trainer"]["data"];
    assert_eq!(
        (&data["classes"]["Normal"], &data["classes"]["Other"]),
        (&"negative".into(), &"exclude".into())
    );
    assert_eq!(data["name"], "Ward 7");
    assert_eq!(config["trainer"]["provenance"]["source"], "a ward");
    assert_eq!(data["patient_pattern"], "^ward-([0-9]+)_");
    succeed(trainer(workbench.path(), "split").args(["--config", "cxr.yaml"]));

    let output =
        with_input(trainer(workbench.path(), "init").args(["data", "--out", "second.yaml"]), &["benign"]);
    assert!(!output.status.success() && text(&output).contains("is not negative, positive or exclude"));
}

#[test]
fn kaggle_layout_with_known_file_names_needs_no_rule_for_patients() {
    let workbench = Workbench::new(0, 1);
    for (split, first) in [("train", 0), ("val", 500), ("test", 900)] {
        for i in 0..20 {
            let (seed, patient) = (first + i, first + i / 2);
            workbench.write_large(&format!("{split}/NORMAL/IM-{patient:04}-{i:04}.png"), seed, false);
            let positive = format!("{split}/PNEUMONIA/person{patient}_virus_{i}.png");
            workbench.write_large(&positive, 5000 + seed, true);
        }
    }
    let mut init = trainer(workbench.path(), "init");
    init.args("data --class NORMAL=negative --class PNEUMONIA=positive --name published".split(' '));
    let printed = succeed(init.args(["--intended-use", "A test.", "--signing-key", "key.pem"]));
    assert_contains(
        &printed,
        &["The file names follow a known naming scheme", "split into train, val and test"],
    );
    succeed(trainer(workbench.path(), "eda").args(["--config", "cxr.yaml"]));
    let printed = succeed(trainer(workbench.path(), "split").args(["--config", "cxr.yaml"]));
    assert!(printed.contains("no patient, file or near duplicate"), "{printed}");
}

/// `init` with all required options except classes and patients.
fn init_without_classes(workbench: &Workbench, key: &str) -> Command {
    let mut init = trainer(workbench.path(), "init");
    init.args(["data", "--name", "Ward 7", "--intended-use", "A test.", "--signing-key", key]);
    init
}

const CLASSES: [&str; 6] =
    ["--class", "Normal=negative", "--class", "Opacity=positive", "--class", "Other=exclude"];

#[test]
fn git_ignores_a_new_signing_key() {
    let workbench = radiographs();
    let git = |arguments: &[&str]| succeed(Command::new("git").current_dir(workbench.path()).args(arguments));
    git(&["init", "--quiet"]);
    let keys = workbench.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::write(keys.join(".gitignore"), "*.tmp").unwrap();
    let init = |key: &str, out: &str| {
        let mut init = init_without_classes(&workbench, key);
        succeed(init.args(CLASSES).args(["--patient-pattern", "^ward-([0-9]+)_", "--out", out]))
    };
    let printed = init("keys/site.pem", "cxr.yaml");
    assert!(printed.contains("keys/.gitignore tells git to ignore it"), "{printed}");
    // In a new folder, and again under the same name.
    init("new/folder/site.pem", "second.yaml");
    init("cxr-signing-key.pem", "third.yaml");
    for file in ["site.pem", "site.pub.pem"] {
        std::fs::remove_file(keys.join(file)).unwrap();
    }
    init("keys/site.pem", "fourth.yaml");
    assert_eq!(std::fs::read_to_string(keys.join(".gitignore")).unwrap(), "*.tmp\nsite.pem\n");
    git(&["add", "-A"]);
    let tracked = git(&["ls-files"]);
    assert!(tracked.contains("keys/site.pub.pem") && tracked.contains("new/folder/.gitignore"), "{tracked}");
    assert!(!tracked.contains("site.pem") && !tracked.contains("signing-key.pem"), "{tracked}");
}

#[test]
fn the_suggested_run_is_new_and_data_without_a_split_is_explained() {
    let workbench = radiographs();
    std::fs::create_dir_all(workbench.path().join("runs/first")).unwrap();
    let mut init = init_without_classes(&workbench, "key.pem");
    let printed = succeed(init.args(CLASSES).args(["--patient-pattern", "^ward-([0-9]+)_"]));
    assert!(printed.contains("--run runs/second") && !printed.contains("runs/first"), "{printed}");
    assert!(printed.contains("no published split (all folds are drawn)"), "{printed}");
    assert!(printed.contains("  all ") && !printed.contains("  none "), "{printed}");
    let file = std::fs::read_to_string(workbench.path().join("cxr.yaml")).unwrap();
    assert!(file.contains("--run runs/second"), "{file}");
}

#[test]
fn a_table_in_a_folder_without_classes_is_among_the_missing_answers() {
    let workbench = Workbench::new(0, 1);
    let mut table = "file,patient,label\n".to_owned();
    for i in 0..20 {
        workbench.write_large(&format!("{i}.png"), i, i % 2 == 1);
        writeln!(table, "{i}.png,p{i},{}", ["clear", "opaque"][i as usize % 2]).unwrap();
    }
    std::fs::write(workbench.data().join("list.csv"), table).unwrap();
    let printed = fail(trainer(workbench.path(), "init").arg("data").stdin(Stdio::null()));
    assert_contains(
        &printed,
        &[
            "missing answers: --table '",
            "list.csv'",
            "--class 'clear=negative'",
            "--class 'opaque=negative'",
            "--name",
        ],
    );
    assert!(printed.contains("class folders: none (a table"), "{printed}");
    assert!(!printed.contains("has no class folders"), "{printed}");
}
