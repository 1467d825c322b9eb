//! `cxr-service bundle inspect`: prints what a bundle contains.

use super::open;
use crate::model::development_key_id;
use crate::stdout;
use cxr::bundle::{BundleSignature, FoldEvaluation, Manifest, Measured, SIGNATURE, Trust};
use std::fmt::Write as _;
use std::path::Path;

/// The verdict; bundles of other trainers may lack it.
const FITNESS: &str = "fitness.json";

pub(super) fn inspect(directory: &Path) -> anyhow::Result<()> {
    let (bundle, _) = open(directory, &Trust::Unsigned)?;
    let manifest = bundle.manifest();
    let mut text = String::new();
    let architecture = &manifest.model.architecture;
    let size = format!("{} x {}", manifest.preprocess.width, manifest.preprocess.height);
    let rows = [
        ("bundle", format!("{} {}, made {}", manifest.name, manifest.version, manifest.created)),
        ("digest", bundle.digest().to_owned()),
        ("signature", signature(directory)),
        ("model", format!("{architecture}, {size} pixels, {}", manifest.labels.join(" or "))),
        ("trained on", manifest.training.dataset.clone()),
        ("intended use", manifest.intended_use.statement.clone()),
        ("", limits(manifest)),
        ("verdict", verdict(directory)),
    ];
    for (name, value) in rows {
        writeln!(text, "{name:<13} {value}")?;
    }
    writeln!(text, "variants")?;
    for (name, variant) in &manifest.variants {
        let default = if *name == manifest.default_variant { " (default)" } else { "" };
        let threshold = variant.policy.threshold;
        writeln!(text, "  {name}{default}: {}, positive from probability {threshold:.4}", variant.file)?;
    }
    writeln!(text, "figures of {} (value and 95 % interval)", manifest.default_variant)?;
    let evaluation = &manifest.evaluation;
    let folds = [("select", Some(&evaluation.select)), ("calibrate", Some(&evaluation.calibrate))];
    for (name, fold) in folds.into_iter().chain([("test", evaluation.test.as_ref())]) {
        if let Some(fold) = fold {
            writeln!(text, "  {name:<10} {}", figures(fold))?;
        }
    }
    writeln!(text, "files ({}, all match bundle.json)", manifest.files.len())?;
    for (name, file) in &manifest.files {
        writeln!(text, "  {} {:>9} {name}", file.sha256, file.bytes)?;
    }
    stdout::print(text.trim_end());
    Ok(())
}

/// The verdict of the gates (docs/TRAINING.md, "The verdict"). `open` has checked the digest of the file.
fn verdict(directory: &Path) -> String {
    let Ok(file) = std::fs::read(directory.join(FITNESS)) else {
        return "none: the bundle was not judged".into();
    };
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap_or_default();
    let verdict = file["verdict"].as_str().unwrap_or("cannot be read").replace('_', " ");
    match file["released_although"].as_str() {
        Some(reason) => format!("{verdict}; released nevertheless, because: {reason}"),
        None => verdict,
    }
}

/// The key that the signature names. It is not verified: that needs a public key.
fn signature(directory: &Path) -> String {
    let Ok(file) = std::fs::read(directory.join(SIGNATURE)) else { return "none".into() };
    let Ok(BundleSignature { key_id, .. }) = serde_json::from_slice(&file) else {
        return "not a cxr signature".into();
    };
    let is_development = development_key_id().as_ref() == Some(&key_id);
    let warning = if is_development { ", the development key: production refuses it" } else { "" };
    format!("by key {key_id}{warning}; not checked (bundle verify --public-key does)")
}

/// The intended use as values, beside its statement.
fn limits(manifest: &Manifest) -> String {
    let meant = &manifest.intended_use;
    let age = meant.age_years.map_or_else(|| "any".into(), |[low, high]| format!("{low} to {high} years"));
    let (views, modalities) = (names(&meant.views), names(&meant.modalities));
    format!("age {age}; views {views}; modalities {modalities}")
}

fn names(values: &impl serde::Serialize) -> String {
    let values = serde_json::to_value(values).unwrap_or_default();
    let names: Vec<&str> = values.as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
    if names.is_empty() { "any".to_owned() } else { names.join(", ") }
}

fn figures(fold: &FoldEvaluation) -> String {
    let figure = |name: &str, Measured { value, ci95: [low, high], .. }: &Measured| {
        format!("{name} {value:.3} [{low:.3}, {high:.3}]")
    };
    let (auc, sensitivity) = (figure("AUC", &fold.auc), figure("sensitivity", &fold.sensitivity));
    let specificity = figure("specificity", &fold.specificity);
    format!("{auc}, {sensitivity}, {specificity}, {} images", fold.auc.n)
}
