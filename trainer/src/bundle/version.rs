//! Semantic versions of bundles. Bundles of the same name and version give the same answers.

use crate::files;
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use cxr::bundle::{MANIFEST, Manifest, sha256_hex};
use semver::{BuildMetadata, Prerelease, Version};
use serde_json::{Value, json};
use std::path::Path;

/// The part of the version to increment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bump {
    /// Same interface, intended use and weights.
    Patch,
    /// Same interface and intended use; other weights, calibration or variants.
    Minor,
    /// Another interface or intended use.
    Major,
}

impl Bump {
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

/// The bundle in a folder, as far as versions need it.
#[derive(Debug)]
pub struct ExistingBundle {
    name: String,
    version: Version,
    /// Digest of the default variant's graph.
    graph: Value,
    answers: String,
}

impl ExistingBundle {
    /// None without a manifest. Reads only what versions need, so that bundles of older schemas count.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let file = folder.join(MANIFEST);
        let Some(bytes) = files::read_if_exists(&file)? else { return Ok(None) };
        let read = || -> Result<Self> {
            let manifest: Value = serde_json::from_slice(&bytes)?;
            let text = |key: &str| manifest[key].as_str().with_context(|| format!("no {key}"));
            let version = Version::parse(text("version")?).context("version")?;
            let graph = default_graph(&manifest);
            Ok(Self { name: text("name")?.to_owned(), version, graph, answers: answers_of(&manifest)? })
        };
        read().map(Some).with_context(|| {
            format!("{}: not a bundle's manifest; move the folder away or name another one", file.display())
        })
    }

    /// Whether it has the same name and version and gives other answers.
    pub(crate) fn contradicts(&self, manifest: &Manifest, answers: &str) -> bool {
        self.name == manifest.name && self.version.to_string() == manifest.version && self.answers != answers
    }

    /// Its version, if it has the same name and is later.
    pub(crate) fn later(&self, manifest: &Manifest, version: &Version) -> Option<&Version> {
        (self.name == manifest.name && self.version.cmp_precedence(version).is_gt()).then_some(&self.version)
    }

    fn conflict(&self, what: &str, configured: &Version) -> String {
        format!(
            "{} {} exists with {what}, and a released version never changes: release this one as {} with --bump, or raise trainer.export.version ({configured})",
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

/// Digest of what determines the answers: graph, calibration, policy, heatmap scale and batch of each
/// variant; preprocessing, acceptance, reference, intended use, class names and the default variant.
pub fn answers(manifest: &Manifest) -> Result<String> {
    // By way of text, as in the file: a `Value` made from an f32 directly has other digits.
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

/// The version of a release before training; `own`: the existing bundle came from this run.
pub fn expected(
    existing: Option<&ExistingBundle>,
    own: bool,
    name: &str,
    configured: &str,
    bump: Option<Bump>,
) -> Result<Version> {
    let configured = semantic(configured)?;
    let Some(old) = existing.filter(|old| old.name == name) else {
        ensure!(bump.is_none(), "--bump: there is no bundle {name} whose version to increment");
        return Ok(configured);
    };
    match bump {
        Some(bump) => Ok(bump.of(&old.version)),
        None if own || configured > old.version => Ok(configured.max(old.version.clone())),
        None => bail!(old.conflict("other weights", &configured)),
    }
}

/// The version of a bundle whose manifest has the configured version and lists the graphs and the reference.
pub fn next(existing: Option<&ExistingBundle>, manifest: &Manifest, bump: Option<Bump>) -> Result<Version> {
    let configured = semantic(&manifest.version)?;
    let Some(old) = existing.filter(|old| old.name == manifest.name) else {
        ensure!(bump.is_none(), "--bump: there is no bundle {} whose version to increment", manifest.name);
        return Ok(configured);
    };
    if answers(manifest)? == old.answers {
        // The same model, perhaps with another card, keeps its version unless a later one is configured.
        return Ok(configured.max(old.version.clone()));
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
            bail!(old.conflict(what, &configured))
        }
    }
}
