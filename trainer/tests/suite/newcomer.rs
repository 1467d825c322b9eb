//! Common mistakes with own data and run directories. The messages name the place and a fix.

use crate::own_data::named_by_site;
use crate::support::{Workbench, assert_contains, fail, succeed};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

#[test]
fn a_pattern_that_matches_no_name_gets_advice_for_one_that_does() {
    let workbench = named_by_site(40);
    workbench.set_data("patient_pattern: '^case-([0-9]+)'");
    let printed = fail(&mut workbench.command("split"));
    assert_contains(
        &printed,
        &["80 of 80 files", "40 patients in all 80 files", "patient_pattern: '^site-([0-9]+)-'"],
    );
    assert!(!printed.contains("(.+)"), "each file would be a patient: {printed}");
    workbench.set_data("patient_pattern: '^site-([0-9]+)-'");
    succeed(&mut workbench.command("split"));
}

#[test]
fn files_that_are_not_images_are_reported_as_such() {
    let workbench = named_by_site(10);
    workbench.set_data("patient_pattern: '^site-([0-9]+)-'");
    let mut dicom = vec![0; 128];
    dicom.extend_from_slice(b"DICM\x02\0\0\0UL\x04\0");
    for (name, bytes) in [("scan.dcm", dicom.as_slice()), ("notes.txt", b"a note"), ("empty.png", b"")] {
        std::fs::write(workbench.data().join("NORMAL").join(name), bytes).unwrap();
    }
    let printed = fail(&mut workbench.command("split"));
    assert_contains(
        &printed,
        &[
            "3 files in the class folders are not images",
            "NORMAL/scan.dcm: is DICOM, which the trainer does not read: export it",
            "NORMAL/notes.txt: is not a JPEG, PNG or TIFF image",
            "NORMAL/empty.png: is an empty file",
        ],
    );
    assert!(!printed.contains("does not match"), "{printed}");
    // An image without a patient is reported as well.
    workbench.write_phantom("NORMAL/walk.png", 900, false);
    let printed = fail(&mut workbench.command("split"));
    assert_contains(
        &printed,
        &["NORMAL/notes.txt: is not a JPEG, PNG or TIFF image", "does not match 1 of 21 files"],
    );
}

/// A table with one image per patient, each with a view and a date.
fn table(lines: &[(&str, &str)], end: &str) -> String {
    let mut text = format!("\u{feff}file,patient,label,view,date{end}");
    for (i, (view, date)) in lines.iter().enumerate() {
        let class = ["NORMAL", "PNEUMONIA"][i % 2];
        write!(text, "{i}.png,p{i},{class},{view},{date}{end}").unwrap();
    }
    text
}

#[test]
fn defects_of_a_table_have_the_line_numbers_of_an_editor() {
    let workbench = Workbench::new(0, 1);
    let file = workbench.path().join("table.csv");
    for i in 0..20 {
        workbench.write_phantom(&format!("{i}.png"), i, i % 2 == 1);
    }
    workbench.set_data(&format!("test_fraction: 0.2, table: '{}'", file.display()));
    let mut lines = [("pa", "2022-01"); 20];
    lines[1].1 = "2022-13";
    lines[2].1 = "2999-01-01";
    lines[3].0 = "LATERAL";
    lines[4] = ("Rl", "20220130");
    for end in ["\n", "\r\n"] {
        std::fs::write(&file, table(&lines, end)).unwrap();
        let printed = fail(&mut workbench.command("split"));
        assert_contains(
            &printed,
            &[
                "line 3, column date: \"2022-13\", expected a past date",
                "line 4, column date: \"2999-01-01\"",
                "line 5, column view: \"LATERAL\", expected PA, AP, LL, RL or nothing",
            ],
        );
        assert!(printed.contains("3 values do not fit"), "{printed}");
        // Empty lines count.
        std::fs::write(&file, table(&lines, end).replacen(end, &end.repeat(3), 1)).unwrap();
        let printed = fail(&mut workbench.command("split"));
        assert!(printed.contains("line 5, column date: \"2022-13\""), "{printed}");
    }
    // Excel's plain CSV.
    let latin = table(&lines, "\r\n").replace("p2,", "M?ller,").into_bytes();
    let latin: Vec<u8> = latin.into_iter().map(|byte| if byte == b'?' { 0xFC } else { byte }).collect();
    std::fs::write(&file, latin).unwrap();
    let printed = fail(&mut workbench.command("split"));
    assert!(printed.contains("line 4: is not UTF-8; save the table as UTF-8"), "{printed}");
    std::fs::write(&file, table(&[("pa", "2022-01"); 20], "\r\n")).unwrap();
    succeed(&mut workbench.command("split"));
    let split = std::fs::read_to_string(workbench.run().join("split.json")).unwrap();
    assert!(split.contains("\"PA\"") && !split.contains("\"pa\""), "{split}");
}

fn at(workbench: &Workbench, subcommand: &str, run: &Path) -> Command {
    let mut command = workbench.command_without_data(subcommand);
    command.arg("--run").arg(run).arg("--data").arg(workbench.data());
    command
}

#[test]
fn a_folder_with_other_files_is_not_a_run_directory_and_stays_unchanged() {
    let workbench = Workbench::new(20, 1);
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    // The data set, one of its folders, and a folder with a config.yaml that is not a run's.
    let train = workbench.data().join("train/NORMAL");
    for folder in [workbench.data(), train, workbench.path().to_owned()] {
        let before = names(&folder);
        for subcommand in ["split", "eda", "train", "run"] {
            let mut command = at(&workbench, subcommand, &folder);
            if subcommand == "run" {
                command.args(["--onnxruntime", "lib.so"]);
            }
            let printed = fail(&mut command);
            assert_contains(&printed, &["contains files that do not belong to a run", "--run runs/first"]);
        }
        assert_eq!(names(&folder), before);
    }
    // An empty folder can become a run, and so can one after an interrupted start.
    let run = workbench.path().join("empty");
    std::fs::create_dir(&run).unwrap();
    succeed(&mut at(&workbench, "split", &run));
    for file in ["config.yaml", "environment.json", "folds.json", "split.json"] {
        std::fs::remove_file(run.join(file)).unwrap();
    }
    std::fs::create_dir_all(run.join("tracking")).unwrap();
    succeed(&mut at(&workbench, "split", &run));
}

#[test]
fn too_few_images_are_reported_with_the_number_that_is_missing_and_the_run_takes_a_new_fraction() {
    let workbench = Workbench::new(40, 1);
    let run = |expected: &[&str]| {
        let printed = fail(workbench.command("run").args(["--onnxruntime", "lib.so"]));
        assert_contains(&printed, expected);
    };
    workbench.set("calibration: { min_per_class: 18 }");
    let key = crate::support::repository().join("config/development-signing-key.pem");
    workbench.set(&format!("export: {{ signing_key: '{}' }}", key.display()));
    run(&[
        "10 more negative images and 10 more positive images are missing",
        "about 50 more negative and 50 more positive images in all",
        "trainer.data.calibrate_fraction",
        "Until something is trained in this run, it accepts",
    ]);
    workbench.set_data("calibrate_fraction: 0.3");
    run(&["trainer.data.calibrate_fraction: was 0.2, now 0.3", "6 more negative images"]);
    // A missing file fails before the first step, not hours later.
    workbench.set("model: { weights: missing.safetensors }");
    let printed = fail(workbench.command("run").args(["--onnxruntime", "lib.so"]));
    assert!(printed.contains("trainer.model.weights: missing.safetensors: no such file"), "{printed}");
    assert!(!printed.contains("step 1/"), "{printed}");
}

#[test]
fn track_needs_no_configuration_and_prints_its_destination() {
    let workbench = Workbench::new(40, 1);
    succeed(&mut workbench.command("train"));
    let track = |run: &Path| {
        let mut track = Command::new(env!("CARGO_BIN_EXE_cxr-trainer"));
        track.current_dir(workbench.path()).arg("track").arg("--run").arg(run);
        track
    };
    let printed = succeed(&mut track(&workbench.run()));
    assert_contains(&printed, &["--config FILE", "mlruns"]);
    assert!(!printed.contains("another configuration"), "{printed}");
    let printed = fail(&mut track(&workbench.data()));
    assert!(printed.contains("is not a run directory"), "{printed}");
}
