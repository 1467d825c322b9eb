//! `reference.json`: version 1 is read, and version 2 describes one population in which nothing is constant.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use cxr::analysis::population::{Population, by_name};
use cxr::embedding::{EmbeddingPosition, EmbeddingReference, OodScore};
use cxr::metadata::AcquisitionMetadata;
use cxr::phantom::{PhantomSpec, encode_png, generate};
use cxr::preprocess::preprocess;
use cxr::reference::{Originals, Quantiles, Reference};
use cxr::statistics::ImageStatistics;
use cxr::{AcceptancePolicy, AcceptedImage, DecodeLimits, PreprocessSpec, decode};
use std::collections::BTreeMap;

const N: usize = 24;

fn statistics((width, height): (u32, u32)) -> Vec<ImageStatistics> {
    let of = |seed: usize| {
        let pixels = generate(&PhantomSpec { seed: seed as u64, width, height, opacity: seed % 2 == 1 });
        let image = decode(&encode_png(&pixels, width, height), &DecodeLimits::default()).unwrap();
        let accepted =
            AcceptedImage::accept(image, AcquisitionMetadata::default(), &AcceptancePolicy::default());
        *preprocess(&accepted.unwrap(), &PreprocessSpec::default()).statistics()
    };
    (0..N).map(of).collect()
}

fn embedding() -> EmbeddingReference {
    EmbeddingReference {
        mean: vec![0.0; 2],
        components: vec![vec![1.0, 0.0]],
        standard_deviations: vec![1.0],
        residual_rms: 1.0,
        score: OodScore::Residual,
    }
}

fn probabilities(scale: f64) -> Vec<f64> {
    (0..N).map(|i| scale * (i as f64 + 0.5) / N as f64).collect()
}

fn reference() -> Reference {
    let positive: Vec<bool> = (0..N).map(|i| i % 2 == 1).collect();
    // Two images of each patient; one embedding that is not finite.
    let patients: Vec<usize> = (0..N).map(|i| i / 2).collect();
    let position = |i: usize| EmbeddingPosition {
        coordinates: vec![i as f32 / 7.0],
        ood_score: if i == 3 { f64::MAX } else { i as f64 },
    };
    let population = Population {
        fold: "calibrate",
        positive: &positive,
        patients: &patients,
        probabilities: [("fp32".to_owned(), probabilities(1.0))].into(),
        default_variant: "fp32",
        positions: &(0..N).map(position).collect::<Vec<_>>(),
        statistics: by_name(&statistics((224, 224))),
        not_measured: BTreeMap::new(),
    };
    let mut reference = population.reference(embedding(), 15).unwrap();
    reference.add_variant("int8", &probabilities(0.5), &positive);
    reference
}

#[test]
fn version_1_is_read_and_written_back_as_it_was() {
    let old = serde_json::json!({"fold": "calibrate", "n": 10, "base_rate": 0.7,
        "statistics": {"mean": vec![0.25; 101]}, "probability": vec![0.5; 101], "calibration": [],
        "embedding": {"mean": [0.0], "components": [], "standard_deviations": [], "residual_rms": 1.0}});
    let mut read: Reference = serde_json::from_value(old).unwrap();
    assert_eq!((read.version, read.statistics_version, &read.joint), (1, 1, &None));
    let before = read.clone();
    read.add_variant("int8", &[0.5], &[true]);
    assert_eq!(read, before, "a reference of version 1 has no place for another variant");
}

#[test]
fn version_2_survives_json_and_nothing_in_it_is_constant() {
    let reference = reference();
    let text = serde_json::to_string(&reference).unwrap();
    assert_eq!(serde_json::from_str::<Reference>(&text).unwrap(), reference);
    assert!(!text.contains("null"), "no infinity");
    let varies = |quantiles: &Quantiles| quantiles.0[0] < quantiles.0[100];
    assert!(reference.statistics.values().all(varies) && reference.statistics.contains_key("letters"));
    // Phantoms of one size: their shape is left out, with the reason.
    for name in ["aspect_ratio", "megapixels"] {
        assert!(!reference.statistics.contains_key(name), "{name}");
        assert!(reference.not_measured[name].contains("same in every image"), "{name}");
    }
    let joint = reference.joint.unwrap();
    assert!(
        joint.statistics.values().all(|values| values.iter().any(|value| (value - values[0]).abs() > 0.0))
    );
}

#[test]
fn every_distribution_is_of_the_same_images() {
    let reference = reference();
    let joint = reference.joint.as_ref().unwrap();
    assert_eq!((reference.version, reference.n, reference.n_patients, joint.n), (2, N, Some(N / 2), N));
    let of_joint = |values: &[f32]| {
        Quantiles::of(&values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>()).unwrap()
    };
    let close = |a: &Quantiles, b: &Quantiles| {
        let differs = |(a, b): (&f64, &f64)| (a - b).abs() > 1e-6 * (1.0 + a.abs());
        !a.0.iter().zip(&b.0).any(differs)
    };
    for (name, values) in &joint.statistics {
        assert!(close(&reference.statistics[name], &of_joint(values)), "{name}");
    }
    assert!(close(&reference.probability, &of_joint(&joint.probability_by_variant["fp32"])));
    for (name, scale) in [("fp32", 1.0), ("int8", 0.5)] {
        let values = probabilities(scale);
        assert!(close(&reference.probability_by_variant[name], &Quantiles::of(&values).unwrap()), "{name}");
        let positive: Vec<f64> = values.iter().skip(1).step_by(2).copied().collect();
        let of_class = &reference.by_class["positive"].probability_by_variant[name];
        assert!(close(of_class, &Quantiles::of(&positive).unwrap()), "{name}");
    }
    assert_eq!(reference.by_class.values().map(|class| class.n).sum::<usize>(), N);
    let position = reference.position.as_ref().unwrap();
    assert!(position.coordinates[0].0[100] > 3.0 && position.ood_score.0[50] < 20.0);
    assert!(joint.ood_score.as_ref().unwrap()[3].is_finite(), "f64::MAX");
    assert_eq!(joint.patients[..4], [0, 0, 1, 1]);
}

#[test]
fn originals_have_what_only_files_show_and_vary_in() {
    let mut images = statistics((300, 260));
    images.extend(statistics((400, 260)));
    let found = Originals::of(&images).unwrap();
    assert_eq!(found.n, 2 * N);
    assert_eq!(found.statistics.keys().collect::<Vec<_>>(), ["aspect_ratio", "blockiness", "megapixels"]);
    assert_eq!(Originals::of(&[]), None);
}
