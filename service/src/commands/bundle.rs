//! `cxr-service bundle ...`: what a model bundle holds, who signed it, and signing it with a key of one's own. Needs no configuration.

mod inspect;
mod sign;

use crate::console;
use crate::model::read_public_key;
use anyhow::Context;
use clap::Subcommand;
use cxr::bundle::{Bundle, Trust};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to do with a bundle.
#[derive(Subcommand)]
pub enum BundleCommand {
    /// Make a key that signs bundles (Ed25519, PEM): the private half into a file, the public half to standard output.
    #[command(
        after_help = "Example: cxr-service bundle new-key --out bundle.key > bundle.pub.pem\n\n`openssl genpkey -algorithm ed25519` makes such a key as well."
    )]
    NewKey {
        /// File for the private key; it must not exist.
        #[arg(long)]
        out: PathBuf,
    },
    /// Sign a bundle with your key, in place of the signature that it has. Every file is checked against bundle.json first.
    #[command(
        after_help = "Example: cp -r models/default /etc/cxr/model && cxr-service bundle sign --key bundle.key /etc/cxr/model\n\nA signature says that your site has accepted this bundle: look at it first (bundle inspect). The service accepts it where the key's public half is in service.model.trusted_keys."
    )]
    Sign {
        /// File of the private key: Ed25519, PKCS#8, PEM.
        #[arg(long)]
        key: PathBuf,
        /// Directory of the bundle.
        directory: PathBuf,
    },
    /// Show what a bundle holds: name, version, variants, intended use, measured figures, digests, and whose signature it bears.
    #[command(after_help = "Example: cxr-service bundle inspect models/default")]
    Inspect {
        /// Directory of the bundle.
        directory: PathBuf,
    },
    /// Check every file of a bundle and its signature, as the service does before it serves one.
    #[command(
        after_help = "Example: cxr-service bundle verify --public-key bundle.pub.pem /etc/cxr/model\n\nEnds with 0 when the bundle is whole and signed by one of the keys, else with 1."
    )]
    Verify {
        /// File of a public key that may have signed it (PEM); may be given several times.
        #[arg(long, required = true)]
        public_key: Vec<PathBuf>,
        /// Directory of the bundle.
        directory: PathBuf,
    },
}

/// Carries it out.
///
/// # Errors
/// When a key or the bundle cannot be used; the message names the file.
pub fn run(command: BundleCommand) -> anyhow::Result<ExitCode> {
    match command {
        BundleCommand::NewKey { out } => sign::new_key(&out)?,
        BundleCommand::Sign { key, directory } => sign::sign(&key, &directory)?,
        BundleCommand::Inspect { directory } => inspect::inspect(&directory)?,
        BundleCommand::Verify { public_key, directory } => verify(&public_key, &directory)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(public_keys: &[PathBuf], directory: &Path) -> anyhow::Result<()> {
    let keys = public_keys.iter().map(|path| read_public_key(path)).collect::<Result<_, _>>()?;
    let (bundle, _) = open(directory, &Trust::SignedBy(keys))?;
    let manifest = bundle.manifest();
    console::print(format_args!(
        "{} {} (digest {}) is signed by key {}, and its {} files are as bundle.json lists them",
        manifest.name,
        manifest.version,
        bundle.digest(),
        bundle.signed_by().unwrap_or_default(),
        manifest.files.len(),
    ));
    Ok(())
}

/// A bundle with every digest checked, and the bytes of its manifest.
fn open(directory: &Path, trust: &Trust) -> anyhow::Result<(Bundle, Vec<u8>)> {
    let mut manifest = Vec::new();
    let read = |file: &str| {
        let bytes = std::fs::read(directory.join(file))?;
        if file == cxr::bundle::MANIFEST {
            manifest.clone_from(&bytes);
        }
        Ok(bytes)
    };
    let bundle = Bundle::open(read, trust).with_context(|| format!("the bundle {}", directory.display()))?;
    Ok((bundle, manifest))
}
