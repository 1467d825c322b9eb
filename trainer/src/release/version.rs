//! Semantic versions of bundles: one version has one set of answers, forever.

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use cxr::bundle::{MANIFEST, Manifest};
use semver::{BuildMetadata, Prerelease, Version};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::path::Path;

/// Which part of the version goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bump {
    /// Same interface and intended use, repaired or recalibrated.
    Patch,
    /// Same interface and intended use, other weights.
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

/// The bundle that stands where the new one goes.
#[derive(Debug)]
pub struct InPlace {
    name: String,
    version: Version,
    /// Digest of the default variant's graph.
    graph: Value,
    answers: Value,
}

impl InPlace {
    /// Reads as much of its manifest as versions need, so that a bundle of an older layout still counts. None where there is
    /// no bundle.
    ///
    /// # Errors
    /// Names the file that is no manifest.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let file = folder.join(MANIFEST);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", file.display())),
        };
        let read = || -> Result<Self> {
            let manifest: Value = serde_json::from_slice(&bytes)?;
            let text = |key: &str| manifest[key].as_str().with_context(|| format!("no {key}"));
            let digest = |file: &str| manifest["files"][file]["sha256"].clone();
            let variants = &manifest["variants"];
            let graph = variants[text("default_variant")?]["file"].as_str().map(digest);
            let version = Version::parse(text("version")?).context("version")?;
            let answers = answers(variants, &manifest["preprocess"], digest);
            Ok(Self { name: text("name")?.to_owned(), version, graph: graph.unwrap_or_default(), answers })
        };
        read().map(Some).with_context(|| {
            format!(
                "{}: is no bundle's manifest; move the folder away or choose another --bundle",
                file.display()
            )
        })
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
    Version::parse(version)
        .with_context(|| format!("trainer.export.version: {version:?} is no semantic version such as 1.2.0"))
}

/// As the manifest's text gives it: made from a 32-bit number directly, a `Value` has other digits than the file.
fn as_written(value: &impl Serialize) -> Result<Value> {
    Ok(serde_json::from_slice(&serde_json::to_vec(value)?)?)
}

/// Everything that decides what a bundle answers: of each variant the graph, the calibration, the policy and the heatmap's scale.
fn answers(variants: &Value, preprocess: &Value, digest: impl Fn(&str) -> Value) -> Value {
    let of_variant = |(name, variant): (&String, &Value)| {
        let graph = digest(variant["file"].as_str().unwrap_or_default());
        json!([name, graph, variant["calibration"], variant["policy"], variant["heatmap"]])
    };
    let variants: Vec<Value> = variants.as_object().into_iter().flatten().map(of_variant).collect();
    json!([variants, preprocess])
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

/// The version of a bundle whose manifest says the configured one, and whose default variant's graph has this digest. The other
/// variants' graphs are among the manifest's files.
///
/// # Errors
/// When the version is not semantic, belongs to a bundle with other answers, or is older than the one in place.
pub fn next(
    in_place: Option<&InPlace>,
    manifest: &Manifest,
    graph_sha256: &str,
    bump: Option<Bump>,
) -> Result<Version> {
    let configured = semantic(&manifest.version)?;
    let Some(old) = in_place.filter(|old| old.name == manifest.name) else {
        ensure!(bump.is_none(), "--bump: no bundle {} is in place whose version could go up", manifest.name);
        return Ok(configured);
    };
    let default = &manifest.variants[&manifest.default_variant].file;
    let digest = |file: &str| match manifest.files.get(file) {
        _ if file == default => json!(graph_sha256),
        found => json!(found.map(|digest| &digest.sha256)),
    };
    let answers = answers(&as_written(&manifest.variants)?, &as_written(&manifest.preprocess)?, digest);
    if answers == old.answers {
        // The same model, perhaps with another card: only a version that somebody asks for is another one.
        return Ok(if configured > old.version { configured } else { old.version.clone() });
    }
    match bump {
        Some(bump) => Ok(bump.of(&old.version)),
        None if configured > old.version => Ok(configured),
        None => {
            let what = if old.graph == graph_sha256 {
                "another calibration, policy or variant"
            } else {
                "other weights"
            };
            bail!(old.taken(what, &configured))
        }
    }
}
