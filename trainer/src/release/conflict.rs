//! Refuses a name and version that another bundle already has with other answers.

use crate::bundle::version::{ExistingBundle, answers};
use crate::config::Tracking;
use crate::progress::say;
use crate::tracking::delivery;
use crate::tracking::event::StringMap;
use crate::tracking::store::contradicts;
use anyhow::{Context, Result, bail};
use cxr::bundle::Manifest;
use semver::Version;
use std::path::{Path, PathBuf};

/// Compares a sealed manifest with the bundle in `out`, with those in the folders beside `out` and `source`,
/// and with the versions of the registered model. Also fails if `out` holds a later version.
pub fn ensure_version_free(
    tracking: &Tracking,
    manifest: &Manifest,
    source: &Path,
    out: &Path,
) -> Result<()> {
    let version = Version::parse(&manifest.version)
        .with_context(|| format!("version {:?} is not a semantic version", manifest.version))?;
    let answers = answers(manifest)?;
    let conflict = |holder: String| -> Result<()> {
        bail!(
            "{} {version} is taken: {holder} has that version with other answers, and a released version never changes; name another version with --version, such as {}",
            manifest.name,
            alternatives(&version)
        )
    };
    if let Some(old) = ExistingBundle::read(out)? {
        if old.contradicts(manifest, &answers) {
            return conflict(out.display().to_string());
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
        // Folders that cannot be read as a bundle do not count.
        let other = ExistingBundle::read(&folder).ok().flatten();
        if other.is_some_and(|other| other.contradicts(manifest, &answers)) {
            return conflict(folder.display().to_string());
        }
    }
    let graph = &manifest.files[&manifest.variants[&manifest.default_variant].file].sha256;
    match registered(tracking, |tags| contradicts(tags, &manifest.version, &answers, graph)) {
        Ok(holder) => holder.map_or(Ok(()), conflict),
        Err(error) => {
            say(format!("not compared with the registered versions ({error:#}); `register` compares again"));
            Ok(())
        }
    }
}

/// The first version of the registered model with such tags, as a message names it.
fn registered(config: &Tracking, matches: impl Fn(&StringMap) -> bool) -> Result<Option<String>> {
    let mut store = delivery::open(config)?;
    let versions = store.versions(&config.registered_model)?;
    let found = versions.iter().find(|version| matches(&version.tags));
    Ok(found.map(|found| {
        format!("version {} of {} in {}", found.number, config.registered_model, store.target())
    }))
}

/// The other folders with the same parent; empty if it cannot be listed.
fn beside(folder: &Path) -> Vec<PathBuf> {
    let Ok(folder) = std::path::absolute(folder) else { return Vec::new() };
    let entries = folder.parent().and_then(|parent| std::fs::read_dir(parent).ok());
    let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| *path != folder && path.is_dir()).collect()
}

/// Versions to suggest instead.
fn alternatives(version: &Version) -> String {
    let Version { major, minor, patch, .. } = version;
    format!("{major}.{}.0, or {major}.{minor}.{patch}+SITE with the name of your site", minor + 1)
}
