//! `cxr-service bundle ...`: inspects, verifies and signs model bundles, without a configuration.

mod inspect;
mod sign;

use crate::model::read_public_key;
use crate::stdout;
use anyhow::Context;
use clap::Subcommand;
use cxr::bundle::{Bundle, Trust};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Subcommands of `cxr-service bundle`.
#[derive(Subcommand)]
pub enum BundleCommand {
    /// Make a key that signs bundles (Ed25519, PEM). The public key goes to standard output.
    #[command(
        after_help = "Example: cxr-service bundle new-key --out bundle.key > bundle.pub.pem\n\n`openssl genpkey -algorithm ed25519` makes such a key too."
    )]
    NewKey {
        /// File for the private key. It must not exist yet.
        #[arg(long)]
        out: PathBuf,
    },
    /// Sign a bundle with your key, replacing its signature. Checks every file against bundle.json first.
    #[command(
        after_help = "Example: cp -r models/default /etc/cxr/model && cxr-service bundle sign --key bundle.key /etc/cxr/model\n\nA signature says that your site has accepted this bundle: inspect it first (bundle inspect). The service accepts it if the public key is listed in service.model.trusted_keys."
    )]
    Sign {
        /// File with the private key: Ed25519, PKCS#8, PEM.
        #[arg(long)]
        key: PathBuf,
        /// Directory of the bundle.
        directory: PathBuf,
    },
    /// Show a bundle's name, version, variants, intended use, measured figures, digests and signer.
    #[command(after_help = "Example: cxr-service bundle inspect models/default")]
    Inspect {
        /// Directory of the bundle.
        directory: PathBuf,
    },
    /// Check a bundle's files and signature, as the service does before serving it.
    #[command(
        after_help = "Example: cxr-service bundle verify --public-key bundle.pub.pem /etc/cxr/model\n\nExit status: 0 if the bundle is complete and signed by one of the keys, otherwise 1."
    )]
    Verify {
        /// File with a public key that may have signed it (PEM). Repeatable.
        #[arg(long, required = true)]
        public_key: Vec<PathBuf>,
        /// Directory of the bundle.
        directory: PathBuf,
    },
}

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
    stdout::print(format_args!(
        "{} {} (digest {}) is signed by key {}, and its {} files match bundle.json",
        manifest.name,
        manifest.version,
        bundle.digest(),
        bundle.signed_by().unwrap_or_default(),
        manifest.files.len(),
    ));
    Ok(())
}

/// Opens a bundle and checks every digest; returns it with the bytes of its manifest.
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
