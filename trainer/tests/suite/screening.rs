//! `eda` and `split` on data sets with planted defects: each is found and named, and leakage is fatal.

use crate::support::{Workbench, assert_contains, fail, result, succeed};
use cxr::phantom::{PhantomSpec, encode_png, generate};
use cxr_trainer::config::Config;
use cxr_trainer::data::eda::Eda;
use cxr_trainer::data::folds::{Fold, Folds, Shares};
use cxr_trainer::data::index::Index;
use cxr_trainer::data::split::Split;
use jpeg_encoder::{ColorType, Encoder};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Side of the images with planted defects.
const LARGE: u32 = 160;

fn large(seed: u64) -> Vec<u8> {
    generate(&PhantomSpec { seed, width: LARGE, height: LARGE, opacity: false })
}

/// A JPEG file at nine tenths of the size.
fn recompressed(pixels: &[u8]) -> Vec<u8> {
    let side = LARGE * 9 / 10;
    let small: Vec<u8> = (0..side * side)
        .map(|at| {
            let from = |i: u32| f64::from(i) * f64::from(LARGE - 1) / f64::from(side - 1);
            let (x, y) = (from(at % side), from(at / side));
            let level = |x: f64, y: f64| f64::from(pixels[(y as u32 * LARGE + x as u32) as usize]);
            let (right, below) = ((x.floor() + 1.0).min(159.0), (y.floor() + 1.0).min(159.0));
            let upper = level(x, y) * (1.0 - x.fract()) + level(right, y) * x.fract();
            let lower = level(x, below) * (1.0 - x.fract()) + level(right, below) * x.fract();
            (upper * (1.0 - y.fract()) + lower * y.fract()).round() as u8
        })
        .collect();
    let mut file = Vec::new();
    Encoder::new(&mut file, 80).encode(&small, side as u16, side as u16, ColorType::Luma).unwrap();
    file
}

fn flat(n: usize) -> Workbench {
    let workbench = Workbench::new(0, 1);
    for i in 0..n {
        workbench.write_phantom(&format!("NORMAL/{:08}_{:03}.png", i / 2, i % 2), i as u64, false);
        workbench.write_phantom(
            &format!("pneumonia/{:08}_{:03}.png", 5000 + i / 2, i % 2),
            900 + i as u64,
            true,
        );
        workbench.write_phantom(&format!("TUBERCULOSIS/{:08}_000.png", 9000 + i), 1800 + i as u64, true);
    }
    workbench
}

#[test]
fn a_flat_folder_is_divided_by_patient_and_class_reproducibly() {
    let workbench = flat(40);
    let printed = fail(&mut workbench.command("split"));
    assert_contains(&printed, &["TUBERCULOSIS", "trainer.data.classes"]);
    workbench.set_data("test_fraction: 0.2, classes: { TUBERCULOSIS: exclude }");
    let printed = succeed(&mut workbench.command("split"));
    assert!(printed.contains("TUBERCULOSIS: 40 files excluded"), "{printed}");
    let folds: Folds = result(&workbench, "folds.json");
    let mut seen = BTreeSet::new();
    for (fold, paths) in &folds.folds {
        for class in ["NORMAL", "pneumonia"] {
            let n = paths.iter().filter(|path| path.starts_with(class)).count();
            assert_eq!(n, if *fold == Fold::Train { 16 } else { 8 }, "{} {class}", fold.name());
        }
        let patients: BTreeSet<_> =
            paths.iter().map(|path| path.rsplit('/').next().unwrap()[..8].to_owned()).collect();
        for patient in patients {
            assert!(seen.insert(patient.clone()), "{patient} is in two folds");
        }
    }
    let split: Split = result(&workbench, "split.json");
    assert!(split.test_is_drawn && split.leakage.is_empty());
    assert_eq!(split.counts[&Fold::Train]["NORMAL"].patients, 8);

    let printed = succeed(&mut workbench.command("split"));
    assert!(printed.contains("nothing has changed"), "{printed}");
    std::fs::remove_dir_all(workbench.run()).unwrap();
    succeed(&mut workbench.command("split"));
    assert_eq!(result::<Folds>(&workbench, "folds.json"), folds);
}

#[test]
fn another_class_can_count_as_negative_and_keeps_its_share() {
    let workbench = flat(40);
    workbench.set_data("test_fraction: 0.2, classes: { TUBERCULOSIS: negative }");
    succeed(&mut workbench.command("split"));
    let split: Split = result(&workbench, "split.json");
    for counts in split.counts.values() {
        assert_eq!(counts["TUBERCULOSIS"].images, counts["NORMAL"].images);
    }
}

#[test]
fn pooling_the_published_test_split_draws_another_without_breaking_patients() {
    let workbench = Workbench::new(40, 1);
    workbench.set_data("pool_test: true, test_fraction: 0.2");
    succeed(&mut workbench.command("split"));
    let folds: Folds = result(&workbench, "folds.json");
    assert_eq!(folds.folds.values().map(Vec::len).sum::<usize>(), 100);
    let test = &folds.folds[&Fold::Test];
    assert!(
        (18..=24).contains(&test.len()) && test.iter().any(|path| path.starts_with("train/")),
        "{test:?}"
    );
}

#[test]
fn a_near_duplicate_in_the_test_split_fails_the_split_and_freezes_nothing() {
    let workbench = Workbench::new(40, 1);
    workbench.write("train/NORMAL/IM-7000-0001.png", encode_png(&large(900_077), LARGE, LARGE));
    workbench.write("test/NORMAL/IM-8000-0001.jpeg", recompressed(&large(900_077)));
    let printed = fail(&mut workbench.command("split"));
    assert_contains(
        &printed,
        &["near duplicates", "train/NORMAL/IM-7000-0001.png", "test/NORMAL/IM-8000-0001.jpeg"],
    );
    let split: Split = result(&workbench, "split.json");
    assert_eq!(split.leakage.near.len(), 1, "{:?}", split.leakage);
    assert!(!workbench.run().join("folds.json").exists());

    std::fs::remove_file(workbench.data().join("test/NORMAL/IM-8000-0001.jpeg")).unwrap();
    succeed(&mut workbench.command("split"));
    workbench.write_phantom("test/NORMAL/IM-7000-0002.png", 4321, false);
    std::fs::remove_dir_all(workbench.run()).unwrap();
    let printed = fail(&mut workbench.command("split"));
    assert!(printed.contains("patient IM-7000 is in test"), "{printed}");
}

#[test]
fn unreadable_files_are_listed_and_left_out_up_to_the_share_that_is_allowed() {
    let workbench = Workbench::new(40, 1);
    for n in 1..=2 {
        workbench.write(&format!("train/NORMAL/IM-700{n}-0001.png"), b"no image");
    }
    let printed = fail(workbench.command("eda").env("CXR_CACHE", workbench.path()));
    assert_contains(&printed, &["IM-7001-0001.png", "max_unreadable_share"]);
    assert_eq!(
        result::<Eda>(&workbench, "eda.json").unreadable.len(),
        2,
        "eda.json is written before the error"
    );
    assert!(fail(&mut workbench.command("split")).contains("IM-7001-0001.png"));

    workbench.set_data("max_unreadable_share: 0.05");
    std::fs::remove_dir_all(workbench.run()).unwrap();
    let printed = succeed(&mut workbench.command("split"));
    assert!(printed.contains("IM-7001-0001.png: in no fold"), "{printed}");
    let folds: Folds = result(&workbench, "folds.json");
    assert_eq!(folds.unreadable.len(), 2);
    assert_eq!(folds.folds.values().map(Vec::len).sum::<usize>(), 100);
    // `train` without `split` freezes the same folds.
    std::fs::remove_file(workbench.run().join("folds.json")).unwrap();
    let printed = succeed(workbench.command("train").env("CXR_CACHE", workbench.path()));
    assert!(printed.contains("2 images cannot be used"), "{printed}");
    assert_eq!(result::<Folds>(&workbench, "folds.json"), folds);
}

#[test]
fn eda_finds_every_planted_defect() {
    let workbench = Workbench::new(120, 1);
    // Swapped labels: new patients with the finding of the other class, a twentieth of the class.
    let swapped: Vec<String> = (0..6).map(|i| format!("train/NORMAL/IM-{}-0001.png", 6000 + i)).collect();
    for (path, seed) in swapped.iter().zip(7000..) {
        workbench.write_phantom(path, seed, true);
    }
    // Duplicates across the published splits, exact and near.
    workbench.write("train/NORMAL/IM-7000-0001.png", encode_png(&large(900_077), LARGE, LARGE));
    workbench.write("test/NORMAL/IM-8000-0001.png", encode_png(&large(900_077), LARGE, LARGE));
    workbench.write("train/NORMAL/IM-7001-0001.png", encode_png(&large(900_078), LARGE, LARGE));
    workbench.write("test/NORMAL/IM-8001-0001.jpeg", recompressed(&large(900_078)));
    workbench.write("train/NORMAL/IM-7002-0001.png", encode_png(&lettered(900_079), LARGE, LARGE));
    workbench.write("train/NORMAL/IM-7003-0001.png", encode_png(&framed(900_080), LARGE, LARGE));
    workbench.write(
        "train/NORMAL/IM-7004-0001.png",
        encode_png(&[[255].repeat(20_000), [0].repeat(5600)].concat(), 160, 160),
    );
    workbench.write("readme.txt", "passed over");
    let has_weights = use_published_weights(&workbench);
    let printed = succeed(&mut workbench.command("eda"));
    let eda: Eda = result(&workbench, "eda.json");

    assert_eq!(eda.passed_over, ["readme.txt"]);
    assert_eq!(eda.images.counts["train"]["PNEUMONIA"].patients, 60);
    assert_eq!(eda.images.properties["NORMAL"].formats["jpeg"], 1);
    assert_eq!(eda.duplicates.exact, [["test/NORMAL/IM-8000-0001.png", "train/NORMAL/IM-7000-0001.png"]]);
    assert_eq!(eda.leakage.exact.len(), 1);
    // Phantoms of 64 pixels can be similar by chance, but less than a copy.
    let copies = eda.duplicates.near.iter().filter(|pair| pair.detail_correlation > 0.95).count();
    assert_eq!(copies, 1, "{:?}", eda.duplicates);
    assert_eq!(eda.leakage.near[0].first, "test/NORMAL/IM-8001-0001.jpeg");
    assert_contains(&printed, &["LEAKAGE", "IM-8001-0001.jpeg"]);

    let defects = eda.images.artefacts["NORMAL"];
    assert_eq!((defects.extreme_exposure, eda.images.artefacts["PNEUMONIA"].extreme_exposure), (1, 0));
    assert!(defects.bordered >= 1 && defects.marked >= 1, "{defects:?}");

    let noise = eda.label_noise.unwrap();
    // 120 per class, 6 swapped, 5 with other defects; the test split is left out.
    assert_eq!((noise.n, noise.folds), (251, 5));
    if has_weights {
        let suspects: BTreeSet<&str> = noise.suspects.iter().take(12).map(|s| s.path.as_str()).collect();
        let found = swapped.iter().filter(|path| suspects.contains(path.as_str())).count();
        // Recall depends on the phantoms (2 to 6 of 6); precision is high.
        assert!(
            found >= 2 && 2 * found >= suspects.len(),
            "{found} of 6 swapped labels among {}: {noise:?}",
            suspects.len()
        );
    }
    for figure in ["eda-counts.svg", "eda-intensity.svg", "eda-label-noise.svg", "eda-suspects.png"] {
        assert!(workbench.run().join("figures").join(figure).exists(), "{figure}");
    }
    assert!(succeed(&mut workbench.command("eda")).contains("on file"));
}

/// Features of random weights are too weak to find single wrong labels.
fn use_published_weights(workbench: &Workbench) -> bool {
    let file = real_data().join("weights/mobilenetv2-imagenet.safetensors");
    if !file.exists() {
        eprintln!("skipped in part: no real data ({} is missing)", file.display());
        return false;
    }
    let model = format!("architecture: mobilenetv2-expanded, weights: {}", file.display());
    workbench.set(&format!("model: {{ {model} }}"));
    true
}

fn real_data() -> PathBuf {
    let folder = crate::support::repository().join("../shared/data");
    std::env::var_os("CXR_DATA_DIR").map_or(folder, Into::into)
}

/// A phantom with an L in its upper left corner.
fn lettered(seed: u64) -> Vec<u8> {
    let mut pixels: Vec<u8> = large(seed).iter().map(|level| level / 2).collect();
    for (x, y) in (0..12).map(|y| (10, 10 + y)).chain((0..8).map(|x| (10 + x, 21))) {
        for at in [y * LARGE + x, y * LARGE + x + 1, (y + 1) * LARGE + x] {
            pixels[at as usize] = 250;
        }
    }
    pixels
}

/// A phantom in a black frame.
fn framed(seed: u64) -> Vec<u8> {
    let inside = |i: u32| (10..LARGE - 10).contains(&i);
    let pixel = |(at, level): (u32, &u8)| if inside(at % LARGE) && inside(at / LARGE) { *level } else { 0 };
    (0u32..).zip(&large(seed)).map(pixel).collect()
}

#[test]
fn the_folds_of_the_published_data_are_those_of_the_default_bundle() {
    let root = crate::support::repository();
    let data = real_data();
    if !data.join("kermany224").is_dir() {
        eprintln!("skipped: no real data ({} is missing)", data.join("kermany224").display());
        return;
    }
    let manifest = std::fs::read(root.join("models/default/bundle.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let config = Config::load(&[root.join("config/kermany.yaml")], Some(&data)).unwrap();
    let index = Index::scan(&config.data.root, &config.data).unwrap();
    let shares = Shares::of(&index, &config.data).unwrap();
    let folds = Folds::divide(&index, &shares, config.seed, BTreeMap::default()).unwrap();
    assert_eq!(folds.digest().unwrap(), manifest["training"]["split_sha256"].as_str().unwrap());
}
