//! Semantic versions of bundles: a name and version stand for one set of answers.

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use cxr::bundle::{MANIFEST, Manifest, sha256_hex};
use semver::{BuildMetadata, Prerelease, Version};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::path::Path;

/// Which part of the version goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bump {
    /// Same interface, intended use and weights: a repair.
    Patch,
    /// Same interface and intended use; other weights, calibration or variants.
    Minor,
    /// Another intended use or another interface.
    Major,
}

impl Bump {
    /// The next version.
    pub(crate) fn of(self, version: &Version) -> Version {
        let Version { major, minor, patch, .. } = *version;
        let (major, minor, patch) = match self {
            // 1.0.0-rc.1 comes before 1.0.0.
            Self::Patch if !version.pre.is_empty() => (major, minor, patch),
            Self::Patch => (major, minor, patch + 1),
            Self::Minor => (major, minor + 1, 0),
            Self::Major => (major + 1, 0, 0),
        };
        Version { major, minor, patch, pre: Prerelease::EMPTY, build: BuildMetadata::EMPTY }
    }
}

/// A bundle in a folder, as far as versions need it.
#[derive(Debug)]
pub struct InPlace {
    name: String,
    version: Version,
    /// Digest of the default variant's graph.
    graph: Value,
    answers: String,
}

impl InPlace {
    /// Reads as much of its manifest as versions need, so that a bundle of an older layout still counts. None where there is
    /// no bundle.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let file = folder.join(MANIFEST);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", file.display())),
        };
        let read = || -> Result<Self> {
            let manifest: Value = serde_json::from_slice(&bytes)?;
            let text = |key: &str| manifest[key].as_str().with_context(|| format!("no {key}"));
            let version = Version::parse(text("version")?).context("version")?;
            let graph = default_graph(&manifest);
            Ok(Self { name: text("name")?.to_owned(), version, graph, answers: answers_of(&manifest)? })
        };
        read().map(Some).with_context(|| {
            format!(
                "{}: not the manifest of a bundle; move the folder away or name another one",
                file.display()
            )
        })
    }

    /// Whether it has the name and version of the other bundle, and gives other answers.
    pub(crate) fn contradicts(&self, manifest: &Manifest, answers: &str) -> bool {
        self.name == manifest.name && self.version.to_string() == manifest.version && self.answers != answers
    }

    /// Its version, where it is a later one of the same name.
    pub(crate) fn later(&self, manifest: &Manifest, version: &Version) -> Option<&Version> {
        (self.name == manifest.name && self.version.cmp_precedence(version).is_gt()).then_some(&self.version)
    }

    /// The refusal of other answers under its version.
    fn taken(&self, what: &str, configured: &Version) -> String {
        format!(
            "{} {} is in place with {what}, and a released version never changes: release this one as {} with --bump, or raise trainer.export.version ({configured})",
            self.name,
            self.version,
            Bump::Minor.of(&self.version)
        )
    }
}

fn semantic(version: &str) -> Result<Version> {
    Version::parse(version).with_context(|| {
        format!("trainer.export.version: {version:?} is not a semantic version such as 1.2.0")
    })
}

fn default_graph(manifest: &Value) -> Value {
    let default = manifest["default_variant"].as_str().unwrap_or_default();
    let file = manifest["variants"][default]["file"].as_str().unwrap_or_default();
    manifest["files"][file]["sha256"].clone()
}

/// Digest of everything that decides what a bundle answers: of each variant the graph, calibration, policy, heatmap scale and batch;
/// what images become on their way to the graph, which are accepted and which referred, and the names of the classes.
pub fn answers(manifest: &Manifest) -> Result<String> {
    // As the manifest's file gives it: made from a 32-bit number directly, a `Value` has other digits.
    answers_of(&serde_json::from_slice(&serde_json::to_vec(manifest)?)?)
}

fn answers_of(manifest: &Value) -> Result<String> {
    let digest = |file: &str| manifest["files"][file]["sha256"].clone();
    let of_variant = |(name, variant): (&String, &Value)| {
        let graph = digest(variant["file"].as_str().unwrap_or_default());
        let parts = ["calibration", "policy", "heatmap", "fixed_batch"].map(|part| variant[part].clone());
        json!([name, graph, parts])
    };
    let variants: Vec<Value> =
        manifest["variants"].as_object().into_iter().flatten().map(of_variant).collect();
    let intended = ["age_years", "views", "modalities"].map(|part| manifest["intended_use"][part].clone());
    let rest = ["preprocess", "acceptance", "labels", "default_variant"].map(|key| manifest[key].clone());
    let answers = json!([variants, digest(Manifest::REFERENCE), intended, rest]);
    Ok(sha256_hex(&serde_json::to_vec(&answers)?))
}

/// The version that a run would be released as, as far as that is known before it is trained. `own` says whether the bundle in
/// place came from this very run.
///
/// # Errors
/// When the version is not semantic, or a run with other weights could not follow the bundle in place.
pub fn expected(
    in_place: Option<&InPlace>,
    own: bool,
    name: &str,
    configured: &str,
    bump: Option<Bump>,
) -> Result<Version> {
    let configured = semantic(configured)?;
    let Some(old) = in_place.filter(|old| old.name == name) else {
        ensure!(bump.is_none(), "--bump: no bundle {name} is in place whose version could go up");
        return Ok(configured);
    };
    match bump {
        Some(bump) => Ok(bump.of(&old.version)),
        None if own || configured > old.version => Ok(configured.max(old.version.clone())),
        None => bail!(old.taken("other weights", &configured)),
    }
}

/// The version of a bundle whose manifest says the configured one and lists its graphs and its reference among its files.
///
/// # Errors
/// When the version is not semantic, belongs to a bundle with other answers, or is older than the one in place.
pub fn next(in_place: Option<&InPlace>, manifest: &Manifest, bump: Option<Bump>) -> Result<Version> {
    let configured = semantic(&manifest.version)?;
    let Some(old) = in_place.filter(|old| old.name == manifest.name) else {
        ensure!(bump.is_none(), "--bump: no bundle {} is in place whose version could go up", manifest.name);
        return Ok(configured);
    };
    if answers(manifest)? == old.answers {
        // The same model, perhaps with another card: only a version that somebody asks for is another one.
        return Ok(if configured > old.version { configured } else { old.version.clone() });
    }
    match bump {
        Some(bump) => Ok(bump.of(&old.version)),
        None if configured > old.version => Ok(configured),
        None => {
            let graph = manifest.files.get(&manifest.variants[&manifest.default_variant].file);
            let what = if graph.is_some_and(|graph| old.graph == graph.sha256.as_str()) {
                "another calibration, policy or variant"
            } else {
                "other weights"
            };
            bail!(old.taken(what, &configured))
        }
    }
}
