//! A released bundle's next minor version: what was measured again goes into manifest and card, every other file stays as it is,
//! to the byte. Wants the bundle and the data, and no run.

use super::{BundleFiles, open, replace_folder, seal, signing_key};
use crate::config::Config;
use crate::console::say;
use crate::dataset::folds::Folds;
use crate::dataset::index::Index;
use crate::environment::now;
use crate::release::version::Bump;
use anyhow::{Context, Result, ensure};
use cxr::bundle::{Bundle, Manifest, Trust};
use ed25519_dalek::SigningKey;
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

/// The released bundle, and the data that it was made with.
pub(super) struct Released {
    pub(super) bundle: Bundle,
    pub(super) index: Index,
    pub(super) folds: Folds,
    key: SigningKey,
}

/// The next version while it is made.
pub(super) struct Revision {
    pub(super) manifest: Manifest,
    /// All files but the card.
    pub(super) files: BundleFiles,
    /// The card under the new version.
    pub(super) card: String,
}

impl Released {
    /// # Errors
    /// When the data does not give the folds that the bundle was made with, and as a file fails.
    pub(super) fn open(config: &Config, request: &Request<'_>) -> Result<Self> {
        let key = signing_key(request.signing_key)?;
        let bundle = open(request.bundle, &Trust::Unsigned)?;
        let index = Index::scan(&config.data.root, &config.data)?;
        let folds = Folds::of(&index, config)?;
        ensure!(
            folds.digest()? == bundle.manifest().training.split_sha256,
            "the data in {} do not give the folds that the bundle was made with: its train fold could be among them",
            index.root.display()
        );
        Ok(Self { bundle, index, folds, key })
    }

    /// The next version, with everything as it was.
    pub(super) fn revision(&self) -> Result<Revision> {
        let old = self.bundle.manifest();
        let version = Version::parse(&old.version).with_context(|| {
            format!("the bundle's version {:?} is not a semantic version such as 1.2.0", old.version)
        })?;
        let manifest =
            Manifest { version: Bump::Minor.of(&version).to_string(), created: now()?, ..old.clone() };
        let mut files = BundleFiles::new();
        for name in old.files.keys() {
            let bytes = self.bundle.file(name).context("a file of the bundle is missing")?;
            files.insert(name.clone(), bytes.to_vec());
        }
        let card = files.remove(CARD).with_context(|| format!("{CARD}: not in the bundle"))?;
        let card = String::from_utf8(card).with_context(|| format!("{CARD}: is not UTF-8 text"))?;
        let card = renamed(&card, old, &manifest);
        Ok(Revision { manifest, files, card })
    }

    /// Signs the next version and puts it into its folder.
    pub(super) fn write(&self, revision: Revision, out: &Path) -> Result<()> {
        let Revision { mut manifest, mut files, card } = revision;
        files.insert(CARD.to_owned(), card.into_bytes());
        seal(&mut manifest, &mut files, &self.key)?;
        replace_folder(out, &files)?;
        let written = open(out, &Trust::SignedBy(vec![self.key.verifying_key()]))?;
        say(format!("{} {} -> {}", manifest.name, manifest.version, out.display()));
        say(format!(
            "bundle digest {}, signed by {}",
            written.digest(),
            written.signed_by().unwrap_or_default()
        ));
        Ok(())
    }
}

fn renamed(card: &str, old: &Manifest, new: &Manifest) -> String {
    let title = |manifest: &Manifest| format!("# {} {}\n", manifest.name, manifest.version);
    let details = |manifest: &Manifest| format!("- Version {} of {}", manifest.version, manifest.created);
    card.replacen(&title(old), &title(new), 1).replacen(&details(old), &details(new), 1)
}
