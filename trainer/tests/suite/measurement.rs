//! What `calibrate` and `evaluate` write, and what they refuse.

use crate::support::{Workbench, fail, succeed};
use cxr::phantom::encode_png;
use cxr_trainer::measure::calibrate::Calibrated;
use cxr_trainer::measure::evaluate::EvaluationFile;
use cxr_trainer::measure::evaluate::external::ExternalEvaluation;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn json<T: DeserializeOwned>(file: &Path) -> T {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Configures a folder of out-of-distribution images and an external set.
fn add_outside_images(workbench: &Workbench) {
    let (ood, external) = (workbench.path().join("ood"), workbench.path().join("external"));
    for i in 0..6u8 {
        let n = u32::from(i) + 2;
        let pixels: Vec<u8> = (0..128 * 128).map(|p| ((p % 128 / n + p / 128 / n) % 2 * 255) as u8).collect();
        std::fs::create_dir_all(ood.join("checks")).unwrap();
        std::fs::write(ood.join(format!("checks/{i}.png")), encode_png(&pixels, 128, 128)).unwrap();
    }
    std::fs::write(ood.join("note.txt"), "no image").unwrap();
    let data = workbench.data();
    for (folder, names) in
        [("NORMAL", "test/NORMAL"), ("PNEUMONIA", "test/PNEUMONIA"), ("OTHER", "train/NORMAL")]
    {
        std::fs::create_dir_all(external.join(folder)).unwrap();
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(data.join(names)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        for (i, file) in files.iter().take(10).enumerate() {
            // Two images per patient, named as in the NIH data set.
            std::fs::copy(file, external.join(format!("{folder}/{:08}_{i:03}.png", i / 2))).unwrap();
        }
    }
    std::fs::write(external.join("NORMAL/00000099_000.png"), "damaged").unwrap();
    let config = std::fs::read_to_string(workbench.config()).unwrap();
    let config = config.replace("ood_images: null", &format!("ood_images: {}", ood.display())).replace(
        "external: null",
        &format!(
            "external: {{ root: {}, name: elsewhere, classes: {{ NORMAL: negative, PNEUMONIA: positive, OTHER: other }}, note: phantoms }}",
            external.display()
        ),
    );
    std::fs::write(workbench.config(), config).unwrap();
}

/// Configures a table with the sex of each patient, and subgroups by file name.
fn add_table(workbench: &Workbench) {
    let mut table = String::from("file,patient,sex\n");
    for class in ["train/NORMAL", "train/PNEUMONIA", "test/NORMAL", "test/PNEUMONIA"] {
        let files = std::fs::read_dir(workbench.data().join(class)).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        for (i, name) in names.iter().enumerate() {
            let patient = i / 2;
            writeln!(table, "{class}/{name},{class} {patient},{}", ["F", "M"][patient % 2]).unwrap();
        }
    }
    let file = workbench.path().join("patients.csv");
    std::fs::write(&file, table).unwrap();
    workbench.set_data(&format!("table: {}", file.display()));
    workbench.set(r#"evaluation: { name_subgroups: { organism: "(bacteria|virus)", "family of the name": "^(NORMAL2-IM|IM)" } }"#);
}

#[test]
fn a_run_is_calibrated_and_measured_on_every_set_of_images() {
    let workbench = Workbench::new(80, 8);
    add_outside_images(&workbench);
    add_table(&workbench);
    succeed(&mut workbench.command("train"));
    succeed(&mut workbench.command("calibrate"));
    let calibrated: Calibrated = json(&workbench.run().join("calibration.json"));
    let analysis = calibrated.analysis.as_ref().unwrap();
    assert_eq!((analysis.methods.len(), analysis.rules.len(), calibrated.conformal.len()), (4, 3, 2));
    let foreign = analysis.ood.foreign.as_ref().unwrap();
    assert_eq!((foreign.n, foreign.refused), (7, 1));
    assert_eq!(foreign.images["note.txt"].refused.as_deref(), Some("unrecognised_format"));
    let used = analysis.ood.candidates.iter().find(|c| c.score == analysis.ood.score).unwrap();
    assert!((used.threshold - calibrated.policy.ood_threshold).abs() < 1e-9);
    assert_eq!(used.development.unwrap().n + used.held_out.unwrap().n, 6);
    assert!(
        used.all.unwrap().value > used.select.value,
        "checkerboards are not flagged more often: {used:?}"
    );

    succeed(workbench.command("evaluate").args(["--fold", "select"]));
    let evaluation: EvaluationFile = json(&workbench.run().join("evaluation-select.json"));
    let details = &evaluation.details;
    let group = |name: &str| details.subgroups.iter().find(|group| group.group == name).unwrap();
    assert_eq!(group("virus").n_positive, group("virus").n);
    assert_eq!(group("IM").n_positive, 0);
    assert_eq!((group("F").property.as_str(), group("M").property.as_str()), ("sex", "sex"));
    assert_eq!(group("F").n + group("M").n, evaluation.figures.auc.n, "every image has a sex");
    let delong = details.auc_delong.unwrap();
    assert!((delong.value - evaluation.figures.auc.value).abs() < 1e-12);
    assert!((details.pneumonia.recall.unwrap().value - evaluation.figures.sensitivity.value).abs() < 1e-12);
    assert!((details.normal.recall.unwrap().value - evaluation.figures.specificity.value).abs() < 1e-12);
    for coverage in &details.conformal {
        let n = coverage.empty.k + coverage.single.k + coverage.both.k;
        assert_eq!(n, group("virus").n + group("IM").n, "every image has one kind of set");
    }
    let table = std::fs::read_to_string(workbench.run().join("worst-select.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 24, "the header and twelve of each class\n{table}");
    for figure in
        ["worst-select.png", "roc-pr-select.svg", "reliability-select.svg", "probabilities-select.svg"]
    {
        assert!(workbench.run().join("figures").join(figure).exists(), "{figure}");
    }

    succeed(workbench.command("evaluate").args(["--fold", "external"]));
    let external: ExternalEvaluation = json(&workbench.run().join("evaluation-external.json"));
    assert_eq!(external.figures.auc.n, 20);
    assert_eq!(external.refused.keys().collect::<Vec<_>>(), ["NORMAL/00000099_000.png"]);
    assert_eq!(external.other.unwrap().flagged.n, 10);
    let printed = fail(workbench.command("evaluate").args(["--fold", "train"]));
    assert!(printed.contains("train fold cannot be evaluated"), "{printed}");
}
