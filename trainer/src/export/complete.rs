//! A released bundle measured again through ONNX Runtime for what an older one does not carry: the scale of its heatmaps, how many
//! images it refers, and its answers to deep files. Wants the bundle and the data, and no run.

use super::int8::renamed;
use super::section::with_section;
use super::select::{self, OnSelect, REFERRED};
use super::{BundleFiles, VARIANT, card, heatmap, open, replace_folder, seal, signing_key};
use crate::config::Config;
use crate::consistency::Scorer;
use crate::consistency::depth::DepthConsistency;
use crate::console::say;
use crate::dataset::folds::{Fold, Folds};
use crate::dataset::index::Index;
use crate::dataset::pixels::{Pixels, Recipe};
use crate::environment::now;
use crate::release::version::Bump;
use crate::released;
use crate::train::decode;
use anyhow::{Context, Result, ensure};
use cxr::bundle::{Bundle, Manifest, Trust};
use semver::Version;
use std::path::Path;

const CARD: &str = "MODEL_CARD.md";

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The bundle.
    pub bundle: &'a Path,
    /// The new bundle's folder; the same replaces it.
    pub out: &'a Path,
    /// Who signs it.
    pub signing_key: &'a Path,
    /// ONNX Runtime's shared library.
    pub onnxruntime: &'a Path,
}

/// Writes the bundle's next minor version. Graphs, calibration, policy and golden outputs stay as they are; the manifest gets a
/// scale for each variant, and the card what was measured.
///
/// # Errors
/// When the data does not give the folds that the bundle was made with, and as ONNX Runtime or a file fails.
pub fn complete_bundle(config: &Config, request: &Request) -> Result<()> {
    let key = signing_key(request.signing_key)?;
    let bundle = open(request.bundle, &Trust::Unsigned)?;
    let old = bundle.manifest();
    let index = Index::scan(&config.data.root, &config.data)?;
    let folds = Folds::of(&index, config)?;
    ensure!(
        folds.digest()? == old.training.split_sha256,
        "the data in {} do not give the folds that the bundle was made with: its train fold could be among them",
        index.root.display()
    );
    let recipe = Recipe { acceptance: old.acceptance, preprocess: old.preprocess };
    let pixels = decode(config, &index, &folds, Fold::Select, &recipe)?;
    let version = Version::parse(&old.version)
        .with_context(|| format!("the bundle's version {:?} is no semantic version", old.version))?;
    let mut manifest =
        Manifest { version: Bump::Minor.of(&version).to_string(), created: now()?, ..old.clone() };
    let mut of_default = None;
    for name in old.variants.keys() {
        let found = on_select(&bundle, name, &pixels, request.onnxruntime)?;
        if let Some(variant) = manifest.variants.get_mut(name) {
            variant.heatmap.clone_from(&found.maps.scale);
        }
        if *name == old.default_variant {
            of_default = Some(found);
        }
    }
    let found = of_default.context("the bundle lacks its default variant")?;
    let depth = depth(config, &bundle, request.onnxruntime)?;
    let mut files = BundleFiles::new();
    for name in old.files.keys() {
        files.insert(name.clone(), bundle.file(name).context("a file of the bundle is missing")?.to_vec());
    }
    let text = files.remove(CARD).with_context(|| format!("{CARD}: not in the bundle"))?;
    let text = String::from_utf8(text).with_context(|| format!("{CARD}: is no text"))?;
    let text = completed(&renamed(&text, old, &manifest), &manifest, &found, depth.as_ref());
    files.insert(CARD.to_owned(), text.into_bytes());
    seal(&mut manifest, &mut files, &key)?;
    replace_folder(request.out, &files)?;
    let written = open(request.out, &Trust::SignedBy(vec![key.verifying_key()]))?;
    say(format!("{} {} -> {}", manifest.name, manifest.version, request.out.display()));
    say(format!("bundle digest {}, signed by {}", written.digest(), written.signed_by().unwrap_or("nobody")));
    Ok(())
}

fn on_select(bundle: &Bundle, name: &str, pixels: &Pixels, onnxruntime: &Path) -> Result<OnSelect> {
    let (_, variant) = bundle.variant(Some(name))?;
    say(format!("variant {name}"));
    let mut session = released::session(bundle, variant, onnxruntime)?;
    let embedding = &bundle.reference().embedding;
    select::measure(&mut session, pixels, variant.calibration, &variant.policy, embedding)
}

/// Deep files of the originals, where there are some.
fn depth(config: &Config, bundle: &Bundle, onnxruntime: &Path) -> Result<Option<DepthConsistency>> {
    let Some(originals) = config.export.originals.as_ref().filter(|folder| folder.is_dir()) else {
        say("deep files: not measured, trainer.export.originals names no folder");
        return Ok(None);
    };
    let (manifest, (_, variant)) = (bundle.manifest(), bundle.variant(None)?);
    let mut session = released::session(bundle, variant, onnxruntime)?;
    let mut scorer = Scorer {
        session: &mut session,
        recipe: Recipe { acceptance: manifest.acceptance, preprocess: manifest.preprocess },
        calibration: variant.calibration,
        policy: &variant.policy,
        weights_sha256: manifest.files[&variant.file].sha256.clone(),
    };
    let found = DepthConsistency::measure(&mut scorer, &config.data, originals)?;
    found.report();
    Ok(Some(found))
}

/// The card with what the manifest says now and what was measured; all else of it stays.
fn completed(text: &str, manifest: &Manifest, found: &OnSelect, depth: Option<&DepthConsistency>) -> String {
    let mut sections = vec![
        ("## Intended use\n", card::intended_use(manifest)),
        ("## Caveats and recommendations\n", card::caveats()),
        (card::DEPTH, card::depth_section(depth)),
        (heatmap::HEADING, found.maps.section()),
        (REFERRED, found.referred_section()),
    ];
    if let Some(variant) = manifest.variants.get(VARIANT) {
        sections.push(("### Decision\n", card::decision(variant)));
    }
    sections.iter().fold(text.to_owned(), |text, (heading, section)| with_section(&text, heading, section))
}
