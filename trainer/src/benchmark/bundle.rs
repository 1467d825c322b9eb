//! A signed bundle for measuring the speed of inference: an untrained network of any architecture in both
//! variants. Its name and card warn that its predictions are meaningless.

mod phantoms;

use crate::config::Config;
use crate::export::int8::variant::{GRAPH_INT8, VARIANT_INT8};
use crate::export::{self, BundleFiles, VARIANT, golden};
use crate::measure::calibrate::probabilities;
use crate::measure::sample::Sample;
use crate::model::{Architecture, Network, Precision, weights};
use crate::onnx::quantise::batches::try_batches;
use crate::onnx::quantise::quantise;
use crate::progress::say;
use crate::run::environment::{Environment, now};
use crate::train::score::Scores;
use anyhow::{Context, Result, ensure};
use cxr::AffineCalibration;
use cxr::bundle::{Evaluation, MANIFEST, Manifest, Provenance, SCHEMA_VERSION, Variant, key_id, sha256_hex};
use ed25519_dalek::SigningKey;
use phantoms::Phantoms;
use runtime::{Runtime, SessionOptions};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tch::Device;

/// Name of the data set in the manifest, by which a benchmark bundle is recognised.
const DATASET: &str = "generated phantoms; nothing was learnt from them";

#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub architecture: Architecture,
    pub seed: u64,
    /// Weights to use instead of random ones: a backbone with torchvision's names, or a run's network.
    pub weights: Option<&'a Path>,
    /// Folder of the bundle. Replaces an older benchmark bundle.
    pub out: &'a Path,
    pub signing_key: &'a Path,
    pub onnxruntime: &'a Path,
}

/// Fails for a folder with anything but an older benchmark bundle, whose content would be lost.
fn ensure_replaceable(folder: &Path) -> Result<()> {
    let file = folder.join(MANIFEST);
    if !file.exists() {
        return export::ensure_replaceable(folder);
    }
    let bytes = std::fs::read(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
    let manifest: Value =
        serde_json::from_slice(&bytes).with_context(|| format!("{}: not a manifest", file.display()))?;
    ensure!(
        manifest["training"]["dataset"] == DATASET,
        "{}: holds a bundle that was trained; choose another --out",
        folder.display()
    );
    Ok(())
}

pub fn make_bundle(config: &Config, request: &Request) -> Result<()> {
    let key = export::signing_key(request.signing_key)?;
    ensure_replaceable(request.out)?;
    let phantoms = Phantoms::generate(config)?;
    let network = network(request, &phantoms)?;
    let size = phantoms.size;
    let contract = crate::onnx::contract(request.architecture, size);
    let fp32 = crate::onnx::encode(request.architecture, &network.named_tensors(), size)?;
    let runtime = Runtime::load(request.onnxruntime)?;
    let int8 = quantise(&runtime, &fp32, phantoms.images(), size, config.export.int8_weight_bits)?;
    let (mut files, mut variants) = (BundleFiles::new(), BTreeMap::new());
    let mut scores = BTreeMap::new();
    for (name, file, graph, tolerance) in [
        (VARIANT, export::GRAPH, fp32, golden::TOLERANCE),
        (VARIANT_INT8, GRAPH_INT8, int8, golden::TOLERANCE_INT8),
    ] {
        let options = SessionOptions { precision: name.to_owned(), ..SessionOptions::default() };
        let mut session = runtime.session(&graph, &contract, &options)?;
        let scored = phantoms.score(&mut session)?;
        // The probability is the sigmoid of the logit, and half of the phantoms are positive.
        let calibration = AffineCalibration { scale: 1.0, bias: 0.0 };
        let policy = phantoms.policy(config, calibration, &scored)?;
        let golden = golden::golden(&mut session, size, tolerance, &mut files)?;
        let fixed_batch = try_batches(&mut session, &phantoms.images().collect::<Vec<_>>(), request.seed)?;
        say(format!(
            "{name}: {} bytes, {}",
            graph.len(),
            fixed_batch.map_or("the same bits in any batch".to_owned(), |n| format!("fixed batch of {n}"))
        ));
        files.insert(file.to_owned(), graph);
        let variant = Variant {
            file: file.to_owned(),
            precision: name.to_owned(),
            fixed_batch,
            calibration,
            policy,
            heatmap: None,
            golden,
        };
        variants.insert(name.to_owned(), variant);
        scores.insert(name.to_owned(), scored);
    }
    let reference = phantoms.reference(config, &scores, VARIANT)?;
    files.insert(Manifest::REFERENCE.to_owned(), export::reference_json(&reference)?);
    let evaluation = evaluation(config, &variants[VARIANT], &phantoms, &scores[VARIANT])?;
    let mut manifest = manifest(config, request, contract, variants, evaluation)?;
    files.insert(Manifest::CARD.to_owned(), card(&manifest, &key).into_bytes());
    export::seal(&mut manifest, &mut files, &key)?;
    export::install(request.out, &files, &key, request.onnxruntime).map(drop)
}

/// A random network takes its batch normalisation statistics from the phantoms: activations are then as large
/// as in a trained network, and the arithmetic costs the same.
fn network(request: &Request, phantoms: &Phantoms) -> Result<Network> {
    tch::manual_seed(request.seed as i64);
    let network = Network::new(request.architecture, 0.0, Precision::Fp32, Device::Cpu);
    let Some(file) = request.weights else {
        phantoms.set_batch_normalisation(&network);
        return Ok(network);
    };
    let whole =
        weights::read(file).and_then(|(tensors, _)| weights::copy(&tensors, &network.named_tensors()));
    match whole {
        Ok(()) => say(format!("{}: all tensors loaded", file.display())),
        Err(_) => say(network.load_backbone(file)?),
    }
    Ok(network)
}

fn evaluation(
    config: &Config,
    variant: &Variant,
    phantoms: &Phantoms,
    scored: &Scores,
) -> Result<Evaluation> {
    let probabilities = probabilities(variant.calibration, &scored.logits);
    let patients: Vec<usize> = (0..probabilities.len()).collect();
    let sample = Sample {
        probabilities: &probabilities,
        positive: &phantoms.positive,
        patients: &patients,
        resamples: config.evaluation.resamples.min(200),
        seed: config.seed,
    };
    let figures = sample.fold_evaluation(variant.policy.threshold)?;
    Ok(Evaluation { select: figures.clone(), calibrate: figures, test: None })
}

fn manifest(
    config: &Config,
    request: &Request,
    model: cxr::bundle::ModelContract,
    variants: BTreeMap<String, Variant>,
    evaluation: Evaluation,
) -> Result<Manifest> {
    let environment = Environment::current()?;
    let mut intended_use = config.export.intended_use.clone();
    "Measuring speed. The network is untrained: its predictions are meaningless."
        .clone_into(&mut intended_use.statement);
    let none = sha256_hex(DATASET.as_bytes());
    Ok(Manifest {
        schema_version: SCHEMA_VERSION,
        name: format!("cxr-benchmark-{}", request.architecture.name()),
        version: "1.0.0".to_owned(),
        created: now()?,
        git_commit: environment.git_commit.clone(),
        files: BTreeMap::new(),
        model,
        labels: config.labels(),
        intended_use,
        acceptance: config.acceptance,
        preprocess: config.served_preprocess(),
        default_variant: VARIANT.to_owned(),
        variants,
        evaluation,
        training: Provenance {
            dataset: DATASET.to_owned(),
            dataset_sha256: none.clone(),
            split_sha256: none,
            config_sha256: config.digest()?,
            seed: request.seed,
            images: BTreeMap::from([("phantoms".to_owned(), phantoms::N)]),
            epoch: 0,
            hardware: environment.processor,
            libraries: environment.libraries,
            run: "benchmark".to_owned(),
        },
    })
}

fn card(manifest: &Manifest, key: &SigningKey) -> String {
    format!(
        "# {} {}\n\n\
         **For measuring speed only.** This {} is untrained; its weights come from seed {} or from a file. Its predictions\n\
         are meaningless: do not use it on images of patients.\n\n\
         - Variants: {}. The 8-bit ranges come from {} generated phantoms.\n\
         - Activations are as large as in a trained network, so the speed is that of a trained network.\n\
         - The probability is the sigmoid of the logit. Thresholds and figures in bundle.json come from the same\n  \
           phantoms, because every bundle needs some.\n\
         - Signed (Ed25519) by key {}.\n",
        manifest.name,
        manifest.version,
        manifest.model.architecture,
        manifest.training.seed,
        manifest.variants.keys().cloned().collect::<Vec<_>>().join(", "),
        phantoms::N,
        key_id(&key.verifying_key()),
    )
}
