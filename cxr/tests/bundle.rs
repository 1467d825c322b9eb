//! A bundle in memory, and the same with every byte changed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use cxr::bundle::{Bundle, BundleError, MANIFEST, SIGNATURE, Trust, key_id, sha256_hex, sign};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};

type Files = BTreeMap<String, Vec<u8>>;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn measured() -> Value {
    json!({"value": 0.9, "ci95": [0.8, 0.95], "n": 10})
}

fn fold() -> Value {
    let names = ["auc", "sensitivity", "specificity", "precision", "f1", "accuracy", "ece", "brier"];
    names.iter().map(|name| ((*name).to_owned(), measured())).collect::<serde_json::Map<_, _>>().into()
}

fn reference() -> Value {
    json!({"fold": "calibrate", "n": 10, "base_rate": 0.7, "statistics": {}, "probability": vec![0.5; 101],
        "calibration": [], "embedding": {"mean": [0.0], "components": [], "standard_deviations": [], "residual_rms": 1.0}})
}

fn manifest(files: &Files) -> Value {
    let digests: BTreeMap<&String, Value> =
        files.iter().map(|(name, b)| (name, json!({"sha256": sha256_hex(b), "bytes": b.len()}))).collect();
    json!({
        "schema_version": 1, "name": "cxr-pneumonia", "version": "1.0.0", "created": "2026-01-01T00:00:00Z",
        "git_commit": null, "files": digests,
        "model": {"architecture": "mobilenetv2", "input": {"name": "image", "dtype": "uint8", "shape": [null, 1, 224, 224]},
            "outputs": [{"name": "logits", "dtype": "float32", "shape": [null, 1]}]},
        "labels": ["NORMAL", "PNEUMONIA"],
        "intended_use": {"statement": "tests", "age_years": null, "views": [], "modalities": []},
        "acceptance": {"min_side_px": 96, "max_aspect_ratio": 4.0, "min_spread": 0.04},
        "preprocess": {"version": 1, "width": 224, "height": 224, "resize": "squash", "clahe": null},
        "default_variant": "fp32",
        "variants": {"fp32": {"file": "model.onnx", "precision": "fp32", "calibration": {"scale": 1.0, "bias": 0.0},
            "policy": {"threshold": 0.5, "chosen": {"target_sensitivity": 0.95, "fold": "calibrate", "sensitivity": 0.95,
                "specificity": 0.9, "n": 10}, "review_band": {"low": 0.4, "high": 0.6}, "ood_threshold": 2.0},
            "golden": [{"file": "golden/1.png", "logit": 0.5, "tolerance": 0.001}]}},
        "evaluation": {"select": fold(), "calibrate": fold(), "test": null},
        "training": {"dataset": "d", "dataset_sha256": "0", "split_sha256": "0", "config_sha256": "0", "seed": 42,
            "images": {}, "epoch": 1, "hardware": "cpu", "libraries": {}, "run": "r"}
    })
}

fn bundle_with(edit: impl Fn(&mut Value)) -> Files {
    let mut files: Files = [
        ("model.onnx".to_owned(), b"not really a graph".to_vec()),
        ("reference.json".to_owned(), reference().to_string().into_bytes()),
        ("golden/1.png".to_owned(), b"png".to_vec()),
        ("MODEL_CARD.md".to_owned(), b"# cxr-pneumonia 1.0.0\n\n## Model details\n".to_vec()),
    ]
    .into();
    let mut manifest = manifest(&files);
    edit(&mut manifest);
    let bytes = manifest.to_string().into_bytes();
    files.insert(SIGNATURE.into(), serde_json::to_vec(&sign(&bytes, &key(1))).unwrap());
    files.insert(MANIFEST.into(), bytes);
    files
}

fn open(files: &Files, trust: &Trust) -> Result<Bundle, BundleError> {
    let missing = || Error::from(ErrorKind::NotFound);
    Bundle::open(|name| files.get(name).cloned().ok_or_else(missing), trust)
}

fn trusted() -> Trust {
    Trust::SignedBy(vec![key(2).verifying_key(), key(1).verifying_key()])
}

#[test]
fn an_intact_bundle_opens_and_says_who_signed_it() {
    let files = bundle_with(|_| {});
    let bundle = open(&files, &trusted()).unwrap();
    assert_eq!(bundle.signed_by(), Some(key_id(&key(1).verifying_key()).as_str()));
    assert_eq!(bundle.digest(), sha256_hex(&files[MANIFEST]));
    assert_eq!(bundle.variant(None).unwrap().0, "fp32");
    assert!(bundle.variant(Some("int8")).unwrap_err().to_string().contains("fp32"));
    assert_eq!(open(&files, &Trust::Unsigned).unwrap().signed_by(), None);
}

#[test]
fn every_flipped_byte_is_found_and_the_file_is_named() {
    let files = bundle_with(|_| {});
    for name in files.keys() {
        for at in 0..files[name].len() {
            let mut damaged = files.clone();
            damaged.get_mut(name).unwrap()[at] ^= 0x04;
            let error = open(&damaged, &trusted()).unwrap_err().to_string();
            // The signature covers the manifest, so either may be named.
            let named = error.contains(name.as_str()) || (name == MANIFEST && error.contains(SIGNATURE));
            assert!(named, "{name} byte {at}: {error}");
        }
    }
}

#[test]
fn missing_files_and_signatures_are_refused() {
    let files = bundle_with(|_| {});
    for name in files.keys() {
        let mut fewer = files.clone();
        fewer.remove(name);
        assert!(open(&fewer, &trusted()).unwrap_err().to_string().contains(name.as_str()));
    }
    let stranger = Trust::SignedBy(vec![key(3).verifying_key()]);
    let error = open(&files, &stranger).unwrap_err().to_string();
    assert!(error.contains(&key_id(&key(3).verifying_key())), "{error}");
}

#[test]
fn a_manifest_that_contradicts_itself_is_refused() {
    let rejected = |expected: &str, edit: &dyn Fn(&mut Value)| {
        let mut error: &dyn std::error::Error = &open(&bundle_with(edit), &Trust::Unsigned).unwrap_err();
        let mut chain = error.to_string();
        while let Some(source) = error.source() {
            chain = format!("{chain}: {source}");
            error = source;
        }
        assert!(chain.contains(expected), "{chain}");
    };
    rejected("schema version 2", &|m| m["schema_version"] = json!(2));
    rejected("not a file name", &|m| m["files"]["../etc/passwd"] = json!({"sha256": "0", "bytes": 1}));
    rejected("not a file name", &|m| m["files"]["/etc/passwd"] = json!({"sha256": "0", "bytes": 1}));
    rejected("int8", &|m| m["default_variant"] = json!("int8"));
    rejected("other.onnx", &|m| m["variants"]["fp32"]["file"] = json!("other.onnx"));
    rejected("out of range", &|m| m["variants"]["fp32"]["policy"]["threshold"] = json!(1.5));
    rejected("out of range", &|m| m["variants"]["fp32"]["calibration"]["scale"] = json!(-1.0));
    rejected("not a semantic version", &|m| m["version"] = json!("1.0"));
    rejected("describes another bundle", &|m| m["version"] = json!("1.1.0"));
    rejected("describes another bundle", &|m| m["name"] = json!("cxr-other"));
    rejected("golden", &|m| m["variants"]["fp32"]["golden"] = json!([]));
    rejected("preprocessing's output", &|m| m["model"]["input"]["shape"] = json!([null, 3, 224, 224]));
    rejected("unknown field", &|m| m["surprise"] = json!(1));
}
