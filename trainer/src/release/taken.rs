//! Refuses to write a name and version that a bundle with other answers has already.

use crate::bundle::version::{InPlace, answers};
use crate::config::Tracking;
use crate::progress::say;
use crate::release::registration::{Registered, registered};
use anyhow::{Context, Result, bail};
use cxr::bundle::Manifest;
use semver::Version;
use std::path::{Path, PathBuf};

/// Compares a sealed manifest with the bundle in `out`, with those in the folders beside `out` and beside `source`, and with the versions
/// of the registered model.
///
/// # Errors
/// When one of them has the same name and version and gives other answers, or when `out` holds a later version. Names it.
pub fn ensure_free(tracking: &Tracking, manifest: &Manifest, source: &Path, out: &Path) -> Result<()> {
    let version = Version::parse(&manifest.version)
        .with_context(|| format!("version {:?} is not a semantic version", manifest.version))?;
    let found = answers(manifest)?;
    let taken = |place: String| -> Result<()> {
        bail!(
            "{} {version} is taken: {place} has that version with other answers, and a released version never changes; name another version with --version, such as {}",
            manifest.name,
            free(&version)
        )
    };
    if let Some(old) = InPlace::read(out)? {
        if old.contradicts(manifest, &found) {
            return taken(out.display().to_string());
        }
        if let Some(later) = old.later(manifest, &version) {
            bail!(
                "--out {}: holds {} {later}, which is later than {version}; name another folder",
                out.display(),
                manifest.name
            );
        }
    }
    for folder in beside(out).into_iter().chain(beside(source)) {
        // What cannot be read as a bundle is none to compare with.
        if InPlace::read(&folder).ok().flatten().is_some_and(|other| other.contradicts(manifest, &found)) {
            return taken(folder.display().to_string());
        }
    }
    match registered(tracking) {
        Ok(versions) => {
            let graph = &manifest.files[&manifest.variants[&manifest.default_variant].file].sha256;
            let same = |other: &&Registered| other.contradicts(&manifest.version, &found, graph);
            versions.iter().find(same).map_or(Ok(()), |other| taken(other.to_string()))
        }
        Err(error) => {
            say(format!("not compared with the registered versions ({error}); `register` compares again"));
            Ok(())
        }
    }
}

/// The folders with the same parent; none where it cannot be listed.
fn beside(folder: &Path) -> Vec<PathBuf> {
    let Ok(folder) = std::path::absolute(folder) else { return Vec::new() };
    let entries = folder.parent().and_then(|parent| std::fs::read_dir(parent).ok());
    let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| *path != folder && path.is_dir()).collect()
}

/// A version that is not taken by what took this one.
fn free(version: &Version) -> String {
    format!(
        "{}.{}.0, or {}.{}.{}+SITE with the name of your site",
        version.major,
        version.minor + 1,
        version.major,
        version.minor,
        version.patch
    )
}
