//! The division into folds: patients stay together, classes keep their shares, the seed determines it.

use anyhow::Result;
use cxr_trainer::data::entry::{Entry, OfficialSplit};
use cxr_trainer::data::folds::{Fold, Folds, Shares};
use cxr_trainer::data::index::Index;
use cxr_trainer::data::patient::PatientRule;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// 300 patients per class with one to five images. Every tenth normal patient shares a file with the next
/// one, and every twentieth patient has images of both classes.
fn index() -> Index {
    let mut entries = Vec::new();
    for positive in [false, true] {
        for patient in 0..300usize {
            for image in 0..=patient % 5 {
                let class = if positive { "PNEUMONIA" } else { "NORMAL" };
                let shared = !positive && image == 0 && patient % 10 < 2;
                let content = if shared {
                    format!("shared {}", patient / 10)
                } else {
                    format!("{class} {patient} {image}")
                };
                entries.push(Entry {
                    path: format!("train/{class}/{patient:03}-{image}.png"),
                    split: if patient % 50 == 49 { OfficialSplit::Val } else { OfficialSplit::Train },
                    class: class.to_owned(),
                    positive,
                    columns: BTreeMap::new(),
                    patient: if patient % 20 == 19 {
                        format!("both-{patient}")
                    } else {
                        format!("{class}-{patient}")
                    },
                    sha256: cxr::bundle::sha256_hex(content.as_bytes()),
                });
            }
        }
    }
    entries.push(Entry {
        path: "test/NORMAL/x.png".into(),
        split: OfficialSplit::Test,
        class: "NORMAL".into(),
        positive: false,
        columns: BTreeMap::new(),
        patient: "x".into(),
        sha256: cxr::bundle::sha256_hex(b"x"),
    });
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Index {
        root: PathBuf::new(),
        entries,
        excluded: BTreeMap::new(),
        passed_over: Vec::new(),
        patients: PatientRule::KnownNames,
    }
}

fn divide(index: &Index, select: f64, calibrate: f64, seed: u64) -> Result<Folds> {
    Folds::divide(index, &Shares { test: None, select, calibrate }, seed, BTreeMap::new())
}

const POOLED: [Fold; 3] = [Fold::Train, Fold::Select, Fold::Calibrate];

#[test]
fn patients_and_equal_files_never_cross_a_fold() {
    let index = index();
    let folds = divide(&index, 0.1, 0.1, 42).unwrap();
    let (mut by_patient, mut by_file) = (BTreeMap::new(), BTreeMap::new());
    let mut n_images = 0;
    for fold in POOLED {
        for entry in folds.entries(&index, fold).unwrap() {
            assert_eq!(*by_patient.entry(entry.patient.clone()).or_insert(fold), fold, "{}", entry.patient);
            assert_eq!(*by_file.entry(entry.sha256.clone()).or_insert(fold), fold, "{}", entry.path);
            n_images += 1;
        }
    }
    assert_eq!(n_images + 1, index.entries.len());
    assert_eq!(folds.folds[&Fold::Test], ["test/NORMAL/x.png"]);
}

#[test]
fn folds_are_stratified() {
    let index = index();
    let folds = divide(&index, 0.1, 0.2, 42).unwrap();
    for (fold, share) in [(Fold::Train, 0.7), (Fold::Select, 0.1), (Fold::Calibrate, 0.2)] {
        let entries = folds.entries(&index, fold).unwrap();
        for positive in [false, true] {
            let n = entries.iter().filter(|entry| entry.positive == positive).count() as f64;
            assert!((n / 900.0 - share).abs() < 0.02, "{} {positive}: {n}", fold.name());
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_folds_and_another_seed_others() {
    let index = index();
    let divide = |seed| divide(&index, 0.1, 0.1, seed).unwrap();
    assert_eq!(divide(42), divide(42));
    let held_out = |folds: Folds| folds.folds[&Fold::Select].iter().cloned().collect::<BTreeSet<_>>();
    assert_ne!(held_out(divide(42)), held_out(divide(43)));
}

#[test]
fn a_file_that_trains_and_tests_is_an_error() {
    let mut index = index();
    let test = index.entries.iter().position(|entry| entry.split == OfficialSplit::Test).unwrap();
    index.entries[test].sha256 = index.entries.last().unwrap().sha256.clone();
    let error = divide(&index, 0.1, 0.1, 42).unwrap_err().to_string();
    assert!(error.contains("test/NORMAL/x.png") && error.contains("byte-equal files"), "{error}");
}

#[test]
fn too_few_patients_are_an_error() {
    let mut index = index();
    index.entries.retain(|entry| entry.path.contains("/00"));
    assert!(divide(&index, 0.01, 0.01, 42).unwrap_err().to_string().contains("too few patients"));
}
