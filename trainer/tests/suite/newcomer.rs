//! What people get wrong with data and run directories of their own, and what they are told: where it is, and what works.

use crate::support::{Workbench, fail, succeed};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Two images each of `n` patients of either class, `NORMAL/site-100-0.png`.
fn named_by_site(n: usize) -> Workbench {
    let workbench = Workbench::new(0, 1);
    for i in 0..4 * n {
        let class = if i < 2 * n { "NORMAL" } else { "PNEUMONIA" };
        let path = format!("{class}/site-{}-{}.png", 100 + i / 2, i % 2);
        workbench.write_phantom(&path, i as u64, class == "PNEUMONIA");
    }
    workbench.set_data("test_fraction: 0.2");
    workbench
}

#[test]
fn a_pattern_for_other_names_is_answered_with_one_that_fits() {
    let workbench = named_by_site(20);
    workbench.set_data("patient_pattern: '^case-([0-9]+)'");
    let printed = fail(&mut workbench.command("split"));
    for expected in ["80 of 80 files", "40 patients in all 80 files", "patient_pattern: '^site-([0-9]+)-'"] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    assert!(!printed.contains("(.+)"), "each file would be a patient: {printed}");
    workbench.set_data("patient_pattern: '^site-([0-9]+)-'");
    succeed(&mut workbench.command("split"));
}

#[test]
fn files_that_are_no_images_are_told_as_such_and_not_as_patients_unknown() {
    let workbench = named_by_site(5);
    workbench.set_data("patient_pattern: '^site-([0-9]+)-'");
    let mut dicom = vec![0; 128];
    dicom.extend_from_slice(b"DICM\x02\0\0\0UL\x04\0");
    for (name, bytes) in [("scan.dcm", dicom.as_slice()), ("notes.txt", b"a note"), ("empty.png", b"")] {
        std::fs::write(workbench.data().join("NORMAL").join(name), bytes).unwrap();
    }
    let printed = fail(&mut workbench.command("split"));
    for expected in [
        "3 files in the class folders are no images",
        "NORMAL/scan.dcm: is DICOM, which is not read here: export it",
        "NORMAL/notes.txt: is no image",
        "NORMAL/empty.png: is an empty file",
    ] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    assert!(!printed.contains("does not say whose"), "{printed}");
    // Beside an image whose patient is not known, both are told.
    workbench.write_phantom("NORMAL/walk.png", 900, false);
    let printed = fail(&mut workbench.command("split"));
    assert!(printed.contains("NORMAL/notes.txt: is no image"), "{printed}");
    assert!(printed.contains("does not say whose 1 of 21 files"), "{printed}");
}

/// The lines of a table for images in one folder, each its own patient, with a view and a date.
fn table(lines: &[(&str, &str)], end: &str) -> String {
    let mut text = format!("\u{feff}file,patient,label,view,date{end}");
    for (i, (view, date)) in lines.iter().enumerate() {
        let class = ["NORMAL", "PNEUMONIA"][i % 2];
        write!(text, "{i}.png,p{i},{class},{view},{date}{end}").unwrap();
    }
    text
}

#[test]
fn a_tables_mistakes_are_told_by_the_lines_that_an_editor_shows() {
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
        for expected in [
            "line 3, column date: \"2022-13\", expected a date that was",
            "line 4, column date: \"2999-01-01\"",
            "line 5, column view: \"LATERAL\", expected PA, AP, LL, RL or nothing",
        ] {
            assert!(printed.contains(expected), "{expected}: {printed}");
        }
        assert!(printed.contains("3 values do not fit"), "{printed}");
        // Lines that are empty count too.
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
fn a_folder_of_other_files_is_no_run_directory_and_stays_as_it_is() {
    let workbench = Workbench::new(20, 1);
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    // The images, one of their folders, and the folder of the configuration, which is called as that of a run.
    let train = workbench.data().join("train/NORMAL");
    for folder in [workbench.data(), train, workbench.path().to_owned()] {
        let before = names(&folder);
        for subcommand in ["split", "eda", "train", "run"] {
            let mut command = at(&workbench, subcommand, &folder);
            if subcommand == "run" {
                command.args(["--onnxruntime", "lib.so"]);
            }
            let printed = fail(&mut command);
            assert!(
                printed.contains("holds files that are no run's") && printed.contains("--run runs/first"),
                "{printed}"
            );
        }
        assert_eq!(names(&folder), before);
    }
    // An empty folder is taken, and so is one whose start was interrupted before anything was frozen.
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
fn too_few_images_are_told_as_a_number_of_all_and_the_run_takes_a_new_fraction() {
    let workbench = Workbench::new(40, 1);
    let run = |expected: &[&str]| {
        let printed = fail(workbench.command("run").args(["--onnxruntime", "lib.so"]));
        for expected in expected {
            assert!(printed.contains(expected), "{expected}: {printed}");
        }
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
    // What would be missed hours later is missed before the first step.
    workbench.set("model: { weights: nothere.safetensors }");
    let printed = fail(workbench.command("run").args(["--onnxruntime", "lib.so"]));
    assert!(printed.contains("trainer.model.weights: nothere.safetensors: no such file"), "{printed}");
    assert!(!printed.contains("step 1/"), "{printed}");
}

#[test]
fn track_needs_no_configuration_and_says_where_it_sends() {
    let workbench = Workbench::new(40, 1);
    succeed(&mut workbench.command("train"));
    let track = |run: &Path| {
        let mut track = Command::new(env!("CARGO_BIN_EXE_cxr-trainer"));
        track.current_dir(workbench.path()).arg("track").arg("--run").arg(run);
        track
    };
    let printed = succeed(&mut track(&workbench.run()));
    assert!(printed.contains("--config FILE") && printed.contains("mlruns"), "{printed}");
    assert!(!printed.contains("another configuration"), "{printed}");
    let printed = fail(&mut track(&workbench.data()));
    assert!(printed.contains("is no run directory"), "{printed}");
}
