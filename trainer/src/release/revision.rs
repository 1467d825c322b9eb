//! The next minor version of a released bundle, which `complete`, `quantise` and `recalibrate` write. Files
//! that they do not replace stay the same to the byte.

use crate::bundle::version::Bump;
use crate::bundle::{self, Released};
use crate::config::{Config, Tracking};
use crate::export::{BundleFiles, install, seal, signing_key};
use crate::release::conflict::ensure_version_free;
use crate::run::environment::now;
use anyhow::{Context, Result, ensure};
use cxr::bundle::{Bundle, Manifest, key_id};
use ed25519_dalek::SigningKey;
use semver::Version;
use std::path::Path;

/// Start of the line in the card that names the key.
const SIGNED: &str = "- Signed (Ed25519) by key ";

#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub bundle: &'a Path,
    /// Folder of the new bundle; may be the same.
    pub out: &'a Path,
    /// Default: the next minor version.
    pub version: Option<&'a str>,
    pub signing_key: &'a Path,
    pub onnxruntime: &'a Path,
}

impl Request<'_> {
    /// Opens the bundle with its data. Key, version and card are checked before the data is read.
    pub(crate) fn open<'a>(&self, config: &'a Config) -> Result<Released<'a>> {
        let bundle = bundle::open(self.bundle, None)?;
        Revision::of(&bundle, self)?;
        Released::with_data(bundle, config)
    }
}

pub(crate) struct Revision {
    pub(crate) manifest: Manifest,
    /// All but the card.
    pub(crate) files: BundleFiles,
    /// With the new version in its title.
    pub(crate) card: String,
    key: SigningKey,
}

impl Revision {
    /// The next version, with nothing else changed yet.
    pub(crate) fn of(bundle: &Bundle, request: &Request<'_>) -> Result<Self> {
        let (old, key) = (bundle.manifest(), signing_key(request.signing_key)?);
        let version = next_version(&old.version, request.version)?.to_string();
        let manifest = Manifest { version, created: now()?, ..old.clone() };
        let mut files = BundleFiles::new();
        for name in old.files.keys() {
            let bytes = bundle.file(name).context("a file of the bundle is missing")?;
            files.insert(name.clone(), bytes.to_vec());
        }
        let card =
            files.remove(Manifest::CARD).with_context(|| format!("{}: not in the bundle", Manifest::CARD))?;
        let card = String::from_utf8(card).with_context(|| format!("{}: not UTF-8 text", Manifest::CARD))?;
        let card = with_version(&card, old, &manifest, &key_id(&key.verifying_key()));
        Ok(Self { manifest, files, card, key })
    }

    /// Signs the new version and installs it. Writes nothing if the version is taken or `verify` refuses it.
    pub(crate) fn install(self, tracking: &Tracking, request: &Request<'_>) -> Result<()> {
        let Self { mut manifest, mut files, card, key } = self;
        files.insert(Manifest::CARD.to_owned(), card.into_bytes());
        seal(&mut manifest, &mut files, &key)?;
        ensure_version_free(tracking, &manifest, request.bundle, request.out)?;
        install(request.out, &files, &key, request.onnxruntime).map(drop)
    }
}

/// A revision is a later minor version: same interface, other answers.
fn next_version(old: &str, asked: Option<&str>) -> Result<Version> {
    let old = Version::parse(old)
        .with_context(|| format!("the bundle's version {old:?} is not a semantic version"))?;
    let next = Bump::Minor.of(&old);
    let Some(asked) = asked else { return Ok(next) };
    let version = Version::parse(asked)
        .with_context(|| format!("--version {asked}: not a semantic version such as {next}"))?;
    ensure!(
        version.major == old.major && version.minor > old.minor,
        "--version {asked}: the next version of {old} is a later minor version, such as {next} or {next}+SITE"
    );
    Ok(version)
}

/// The card with the new version and key.
fn with_version(card: &str, old: &Manifest, new: &Manifest, key: &str) -> String {
    let title = |manifest: &Manifest| format!("{}\n", manifest.card_title());
    let details = |manifest: &Manifest| format!("- Version {} of {}", manifest.version, manifest.created);
    let card = card.replacen(&title(old), &title(new), 1).replacen(&details(old), &details(new), 1);
    let signed = card.lines().find(|line| line.starts_with(SIGNED)).map(str::to_owned);
    signed.map_or(card.clone(), |line| card.replacen(&line, &format!("{SIGNED}{key}."), 1))
}

#[cfg(test)]
mod tests {
    use super::next_version;

    #[test]
    fn only_a_later_minor_version_is_the_next_one() {
        let next = |asked| next_version("1.2.3", asked).map(|version| version.to_string());
        assert_eq!(next(None).unwrap(), "1.3.0");
        for right in ["1.3.0", "1.10.1", "1.3.0+st-marys"] {
            assert_eq!(next(Some(right)).unwrap(), right);
        }
        for wrong in ["1.2.4", "1.1.0", "2.0.0", "1.3", "v1.3.0"] {
            let error = next(Some(wrong)).unwrap_err().to_string();
            assert!(error.contains("--version") && error.contains("1.3.0"), "{error}");
        }
    }
}
