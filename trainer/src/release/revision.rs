//! The next minor version of a released bundle, which `complete`, `quantise` and `recalibrate` make. Manifest
//! and card change; every other file stays the same to the byte.

use crate::bundle::version::Bump;
use crate::bundle::{self, Released};
use crate::config::{Config, Tracking};
use crate::export::{BundleFiles, Delivered, deliver, seal, signing_key};
use crate::release::taken::ensure_free;
use crate::run::environment::now;
use anyhow::{Context, Result, ensure};
use cxr::bundle::{Bundle, Manifest, key_id};
use ed25519_dalek::SigningKey;
use semver::Version;
use std::path::Path;

/// How a line of the card begins that names the key of the signature.
const SIGNED: &str = "- Signed (Ed25519) by key ";

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The bundle.
    pub bundle: &'a Path,
    /// The new bundle's folder; the same replaces it.
    pub out: &'a Path,
    /// The new bundle's version, where it is not to be the next minor one.
    pub version: Option<&'a str>,
    /// Who signs it.
    pub signing_key: &'a Path,
    /// ONNX Runtime's shared library.
    pub onnxruntime: &'a Path,
}

impl Request<'_> {
    /// Opens the bundle with the data that it was made with. A request that would be refused at the end is refused before the data is
    /// read.
    pub(crate) fn open<'a>(&self, config: &'a Config) -> Result<Released<'a>> {
        let bundle = bundle::open(self.bundle, None)?;
        Revision::of(&bundle, self)?;
        Released::with_data(bundle, config)
    }
}

/// The next version while it is made.
pub(crate) struct Revision {
    pub(crate) manifest: Manifest,
    /// All files but the card.
    pub(crate) files: BundleFiles,
    /// The card under the new version.
    pub(crate) card: String,
    key: SigningKey,
}

impl Revision {
    /// The next version, with everything as it was.
    ///
    /// # Errors
    /// When the version asked for is not a later minor one, or the key or the card cannot be read.
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
        let card = renamed(&card, old, &manifest, &key_id(&key.verifying_key()));
        Ok(Self { manifest, files, card, key })
    }

    /// Signs the next version, compares it with the bundles that have its name, judges it and puts it into its folder.
    ///
    /// # Errors
    /// When its version is taken by other answers, or `verify` refuses it: nothing is written then.
    pub(crate) fn deliver(self, tracking: &Tracking, request: &Request<'_>) -> Result<Delivered> {
        let Self { mut manifest, mut files, card, key } = self;
        files.insert(Manifest::CARD.to_owned(), card.into_bytes());
        seal(&mut manifest, &mut files, &key)?;
        ensure_free(tracking, &manifest, request.bundle, request.out)?;
        deliver(request.out, &files, &key, request.onnxruntime)
    }
}

/// A revision is a later minor version: what the bundle takes and gives stays, its answers may change.
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

/// The card's lines that name version and key.
fn renamed(card: &str, old: &Manifest, new: &Manifest, key: &str) -> String {
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
