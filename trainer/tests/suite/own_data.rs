//! Data of other hospitals. The tests follow the advice in the error messages literally.

use crate::support::{Workbench, assert_accepted, assert_contains, fail, onnxruntime, result, succeed};
use cxr::bundle::Manifest;
use cxr_trainer::data::eda::Eda;
use cxr_trainer::data::folds::{Fold, Folds};
use cxr_trainer::data::patient::PatientRule;
use cxr_trainer::data::screening::confounders::Source;
use cxr_trainer::data::split::Split;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Runs all steps and checks the bundle with `verify`, the registry and the service. Returns the report.
fn bundle_of(workbench: &Workbench, labels: [&str; 2]) -> String {
    let mut run = workbench.command("run");
    succeed(run.arg("--onnxruntime").arg(onnxruntime()));
    let bundle = workbench.path().join("bundle");
    assert_accepted(&bundle);
    let manifest: Manifest =
        serde_json::from_slice(&std::fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    assert_eq!(manifest.labels, labels);
    std::fs::read_to_string(workbench.run().join("report/REPORT.md")).unwrap()
}

/// `n` patients of two images, such as `NORMAL/site-0153-a.png`; patient 7 has images in both classes.
pub(crate) fn named_by_site(n: usize) -> Workbench {
    let workbench = Workbench::new(0, 1);
    for patient in 0..n {
        for (image, letter) in ["a", "b"].into_iter().enumerate() {
            let opacity = patient % 2 == 1 && !(patient == 7 && image == 0);
            let class = if opacity { "PNEUMONIA" } else { "NORMAL" };
            let path = format!("{class}/site-{:04}-{letter}.png", 100 + patient);
            workbench.write_phantom(&path, (patient * 2 + image) as u64, opacity);
        }
    }
    workbench.set_data("test_fraction: 0.2");
    workbench
}

/// The lines from `trainer:` to `key` that a message advises to write into a configuration.
fn advised(printed: &str, key: &str) -> String {
    let lines: Vec<&str> = printed.lines().collect();
    let at = lines.iter().position(|line| line.trim().starts_with(key)).unwrap();
    lines[at - 2..=at].join("\n")
}

fn assert_patients_in_one_fold(workbench: &Workbench, patient: fn(&str) -> &str) {
    let folds: Folds = result(workbench, "folds.json");
    let mut fold_of = BTreeMap::new();
    for (fold, paths) in &folds.folds {
        for path in paths {
            assert_eq!(*fold_of.entry(patient(path)).or_insert(*fold), *fold, "{path}");
        }
    }
}

#[test]
fn unknown_file_names_need_a_rule_for_patients() {
    let workbench = named_by_site(30);
    let printed = fail(&mut workbench.command("split"));
    assert_contains(
        &printed,
        &[
            "60 of 60 file names follow no known naming scheme",
            "NORMAL/site-0100-a.png",
            "30 patients in 60 files",
            "and 40 more",
            "each_file_is_a_patient: true",
            "table: patients.csv",
        ],
    );
    assert!(!workbench.run().exists(), "nothing is frozen");

    // The advice works literally.
    let advice = workbench.path().join("advice.yaml");
    std::fs::write(&advice, advised(&printed, "patient_pattern: '^site-([0-9]+)-'")).unwrap();
    let printed = succeed(workbench.command("split").arg("--config").arg(&advice));
    assert!(printed.contains("no patient, file or near duplicate is in two folds"), "{printed}");
    assert_patients_in_one_fold(&workbench, |path| &path.rsplit('/').next().unwrap()[..9]);
    assert_eq!(
        result::<Split>(&workbench, "split.json").patients,
        Some(PatientRule::Pattern("^site-([0-9]+)-".to_owned()))
    );
}

#[test]
fn advice_for_a_pattern_that_misses_a_file_works() {
    let workbench = named_by_site(30);
    workbench.write_phantom("NORMAL/walk-in.png", 900, false);
    workbench.set_data("patient_pattern: 'site-([0-9]+)-'");
    let printed = fail(&mut workbench.command("split"));
    assert!(printed.contains("NORMAL/walk-in.png"), "{printed}");
    let advice = workbench.path().join("advice.yaml");
    std::fs::write(&advice, advised(&printed, "patient_pattern: ")).unwrap();
    succeed(workbench.command("split").arg("--config").arg(&advice));
    let split: Split = result(&workbench, "split.json");
    let n_patients: usize =
        split.counts.values().flat_map(BTreeMap::values).map(|count| count.patients).sum();
    // Patient 7 counts in both classes.
    assert_eq!(n_patients, 30 + 1 + 1, "{:?}", split.counts);
}

#[test]
fn each_file_is_a_patient_only_if_configured_and_every_command_prints_it() {
    let workbench = named_by_site(30);
    workbench.set_data("each_file_is_a_patient: true");
    let printed = succeed(&mut workbench.command("split"));
    assert_contains(
        &printed,
        &["Each file counts as a patient of its own", "no file or near duplicate is in two folds"],
    );
    assert!(!printed.contains("no patient"), "patients were not checked: {printed}");
    assert_eq!(result::<Split>(&workbench, "split.json").patients, Some(PatientRule::EachFile));
    let printed = succeed(&mut workbench.command("train"));
    assert!(printed.contains("Each file counts as a patient of its own"), "{printed}");
    workbench.set_data("patient_pattern: '^site-([0-9]+)-'");
    let printed = fail(&mut workbench.command("split"));
    assert!(printed.contains("set one of them"), "{printed}");
}

/// A data set without class folders: 60 patients of two images, three classes, two sites, and the table.
fn table_of_three_classes(site: impl Fn(usize, &str) -> &'static str) -> (Workbench, String) {
    let workbench = Workbench::new(0, 12);
    let mut table = String::from("File;Patient;Label;Sex;Age;Site;Date\n");
    for patient in 0..60 {
        let class = ["Normal", "Pneumonia", "Tuberculosis"][patient % 3];
        for image in 0..2 {
            let file = format!("{:02}/image {patient}-{image}.png", patient % 4);
            workbench.write_phantom(&file, (patient * 2 + image) as u64, class != "Normal");
            let (sex, age) = (if patient % 2 == 0 { "F" } else { "male" }, 3 + patient);
            writeln!(
                table,
                "{file};p{patient};{class};{sex};{age};{};2021-0{}",
                site(patient, class),
                1 + image
            )
            .unwrap();
        }
    }
    let file = workbench.data().join("table.csv");
    std::fs::write(&file, &table).unwrap();
    workbench.write("readme.txt", "not an image");
    workbench.set_data(&format!(
        "test_fraction: 0.2, table: {}, classes: {{ TUBERCULOSIS: positive }}",
        file.display()
    ));
    (workbench, table)
}

#[test]
fn a_table_gives_classes_patients_strata_and_confounders() {
    // Almost all patients of one site have a finding.
    let (workbench, _) =
        table_of_three_classes(
            |patient, class| {
                if (class == "Normal") == (patient % 10 != 0) { "North" } else { "South" }
            },
        );
    let printed = succeed(&mut workbench.command("split"));
    let split: Split = result(&workbench, "split.json");
    assert_eq!(split.patients, Some(PatientRule::Table("table.csv".to_owned())));
    assert_eq!(split.passed_over, ["readme.txt", "table.csv"]);
    let classes: BTreeSet<&String> = split.counts.values().flat_map(BTreeMap::keys).collect();
    assert_eq!(classes.into_iter().collect::<Vec<_>>(), ["NORMAL", "PNEUMONIA", "TUBERCULOSIS"]);
    assert_patients_in_one_fold(&workbench, |path| path.rsplit_once('-').unwrap().0);
    assert_contains(&printed, &["CONFOUNDED", "site (column of the table)"]);
    let site = split.confounders.iter().find(|found| found.property == "site").unwrap();
    assert!(site.is_confounder() && site.source == Source::Table && site.auc.value > 0.8, "{site:?}");
    assert_eq!(site.groups.values().map(|n| n.negative + n.positive).sum::<usize>(), 120);
    let sex = split.confounders.iter().find(|found| found.property == "sex").unwrap();
    assert!(!sex.is_confounder(), "{sex:?}");
    assert!(!printed.contains("sex (column of the table)"), "{printed}");

    let printed = succeed(&mut workbench.command("eda"));
    assert!(printed.contains("site (column of the table)"), "{printed}");
    let eda: Eda = result(&workbench, "eda.json");
    assert_eq!(eda.images.counts["none"]["TUBERCULOSIS"].patients, 20);
    assert!(eda.confounders.iter().any(|found| found.property == "site" && found.is_confounder()));

    let report = bundle_of(&workbench, ["NORMAL", "POSITIVE"]);
    assert_contains(
        &report,
        &[
            "The data has no split of its own",
            "| TUBERCULOSIS | positive |",
            // Each positive class has metrics of its own.
            "| class | TUBERCULOSIS |",
            "| site | table | 2 |",
            "test fold, drawn by patient",
            "North",
        ],
    );

    // A data set with another label is other data.
    let table = std::fs::read_to_string(workbench.data().join("table.csv")).unwrap();
    let other = table.replace("image 0-0.png;p0;Normal", "image 0-0.png;p0;Pneumonia");
    assert_ne!(table, other);
    workbench.write("table.csv", other);
    assert!(fail(&mut workbench.command("train")).contains("other data"));
}

#[test]
fn folds_are_stratified_by_site() {
    let (workbench, _) = table_of_three_classes(|patient, _| ["North", "South"][patient / 3 % 2]);
    let printed = succeed(&mut workbench.command("split"));
    assert!(!printed.contains("site (column of the table)"), "{printed}");
    let split: Split = result(&workbench, "split.json");
    // 10 patients of each class and site: a fifth is 3 classes x 2 patients x 2 images of a site.
    for (site, folds) in &split.columns["site"] {
        for fold in [Fold::Select, Fold::Calibrate, Fold::Test] {
            assert_eq!(folds[&fold], 12, "{site} {}: {folds:?}", fold.name());
        }
    }
}

#[test]
fn all_defects_of_a_table_are_reported_at_once() {
    let (workbench, table) = table_of_three_classes(|_, _| "North");
    for n in 0..25 {
        workbench.write_phantom(&format!("new/{n:02}.png"), 5000 + n, false);
    }
    workbench.write_phantom("NORMAL/moved.png", 6000, true);
    let lines = table
        .replace("image 3-0.png;p3;Normal;male;6;", "image 3-0.png;p3;Normal;x;six;")
        .replace("image 4-1.png;p4;Pneumonia", "image 4-1.png;p4;Pneumothorax")
        + "00/image 0-0.png;p0;Normal;F;3;North;2021\nNORMAL/moved.png;p99;Pneumonia;F;3;North;2021\ngone.png;p98;Normal;F;3;North;2021\nNORMAL/short.png;p97\n";
    workbench.write("table.csv", lines);
    let printed = fail(&mut workbench.command("split"));
    assert_contains(
        &printed,
        &[
            "line 8, column sex: \"x\", expected F, M, O or nothing",
            "line 8, column age: \"six\"",
            "line 11, column label: \"Pneumothorax\"",
            "line 122: 00/image 0-0.png is already in line 2",
            "line 123, column label says PNEUMONIA, but the file is in folder NORMAL",
            "line 124: gone.png",
            "line 125: 2 values where the header has 7",
            "25 files have no line",
            "new/00.png",
            "and 5 more",
        ],
    );
    assert!(!workbench.run().exists());
    std::fs::write(workbench.data().join("table.csv"), "file;patient;labl\na;b;c\n").unwrap();
    let printed = fail(&mut workbench.command("split"));
    assert_contains(&printed, &["line 1, column 3", "did you mean `label`?"]);
}

#[test]
fn planted_leakage_duplicates_and_other_files_are_named() {
    let workbench = Workbench::new(60, 12);
    let copy =
        |from: &str, to: &str| workbench.write(to, std::fs::read(workbench.data().join(from)).unwrap());
    // Two files in two classes each, and one in the published test split and outside of it.
    copy("train/NORMAL/IM-0000-0000.png", "train/PNEUMONIA/person900_virus_1.png");
    copy("train/PNEUMONIA/person1_virus_2.png", "train/NORMAL/IM-9001-0001.png");
    copy("train/NORMAL/IM-0003-0006.png", "test/NORMAL/IM-9002-0001.png");
    let printed = fail(&mut workbench.command("split"));
    assert_contains(
        &printed,
        &[
            "2 groups of byte-equal files are in several classes: the labels contradict",
            "train/NORMAL/IM-0000-0000.png (NORMAL), train/PNEUMONIA/person900_virus_1.png (PNEUMONIA)",
            "train/NORMAL/IM-9001-0001.png (NORMAL), train/PNEUMONIA/person1_virus_2.png (PNEUMONIA)",
            "1 groups of byte-equal files are in the published test split and outside it",
            "test/NORMAL/IM-9002-0001.png",
        ],
    );
    assert!(!workbench.run().join("folds.json").exists());
    let printed = succeed(&mut workbench.command("eda"));
    assert!(printed.contains("the labels contradict: train/NORMAL/IM-0000-0000.png"), "{printed}");
    assert_eq!(result::<Eda>(&workbench, "eda.json").duplicates.contradicting.len(), 2);

    for path in [
        "train/PNEUMONIA/person900_virus_1.png",
        "train/NORMAL/IM-9001-0001.png",
        "test/NORMAL/IM-9002-0001.png",
    ] {
        std::fs::remove_file(workbench.data().join(path)).unwrap();
    }
    // Files that are not images, and an image in a subfolder of a class folder.
    let mut dicom = vec![0; 128];
    dicom.extend_from_slice(b"DICM\x02\0\0\0UL\x04\0");
    workbench.write("train/NORMAL/ward/IM-9003-0001.dcm", &dicom);
    workbench.write("train/NORMAL/IM-9004-0001.txt", b"a note");
    workbench.write_phantom("train/NORMAL/ward/IM-9005-0001.png", 77_000, false);
    let printed = fail(&mut workbench.command("split"));
    assert_contains(
        &printed,
        &[
            "2 images cannot be used",
            "train/NORMAL/ward/IM-9003-0001.dcm: is DICOM, which the trainer does not read: export it",
            "train/NORMAL/IM-9004-0001.txt: is not a JPEG, PNG or TIFF image",
        ],
    );
    std::fs::remove_dir_all(workbench.run()).unwrap();
    // A patient in train and in the published test split.
    workbench.set_data("max_unreadable_share: 0.1");
    workbench.write_phantom("test/NORMAL/IM-0005-0099.png", 78_000, false);
    let printed = fail(&mut workbench.command("split"));
    assert!(printed.contains("patient IM-0005 is in"), "{printed}");
    std::fs::remove_file(workbench.data().join("test/NORMAL/IM-0005-0099.png")).unwrap();
    succeed(&mut workbench.command("split"));
    let folds: Folds = result(&workbench, "folds.json");
    assert!(folds.folds.values().flatten().any(|path| path == "train/NORMAL/ward/IM-9005-0001.png"));
    assert_eq!(folds.unreadable.len(), 2);

    // The corrected data gives a bundle, whose report lists what was left out.
    let report = bundle_of(&workbench, ["NORMAL", "PNEUMONIA"]);
    assert!(report.contains("2 unusable"), "{report}");
}
