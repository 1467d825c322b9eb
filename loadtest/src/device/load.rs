//! The inputs of a measurement: a variant of a bundle, its two sessions, and images.

use super::{Args, Way};
use anyhow::{Context, Result};
use cxr::bundle::{Bundle, Trust, Variant};
use cxr::phantom::{PhantomSpec, generate};
use runtime::{CudaOptions, Provider, Runtime, Session, SessionOptions};
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ProviderName {
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

impl ProviderName {
    /// The name on the command line and in the service's configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// An opened bundle, one of its variants, and the loaded library.
pub(super) struct Source {
    bundle: Bundle,
    variant: String,
    runtime: Runtime,
}

impl Source {
    pub(super) fn open(folder: &Path, variant: Option<&str>, library: &Path) -> Result<Self> {
        // A measurement does not need the signature; the digests are still checked.
        let bundle = Bundle::open(|name| std::fs::read(folder.join(name)), &Trust::Unsigned);
        let bundle = bundle.with_context(|| format!("{}: not a usable bundle", folder.display()))?;
        let variant = bundle.variant(variant)?.0.to_owned();
        Ok(Self { bundle, variant, runtime: Runtime::load(library)? })
    }

    pub(super) fn name(&self) -> String {
        let manifest = self.bundle.manifest();
        format!("{} {}", manifest.name, manifest.version)
    }

    pub(super) fn architecture(&self) -> &str {
        &self.bundle.manifest().model.architecture
    }

    pub(super) fn variant_name(&self) -> &str {
        &self.variant
    }

    pub(super) fn precision(&self) -> &str {
        &self.variant().precision
    }

    fn variant(&self) -> &Variant {
        &self.bundle.manifest().variants[&self.variant]
    }

    /// The batch sizes to measure: the given ones, or the only one that the variant supports.
    pub(super) fn batches(&self, asked: &[usize]) -> Vec<usize> {
        self.variant().fixed_batch.map_or_else(|| asked.to_vec(), |fixed| vec![fixed as usize])
    }

    pub(super) fn image_bytes(&self) -> usize {
        let spec = &self.bundle.manifest().preprocess;
        spec.width as usize * spec.height as usize
    }

    /// `n` different model inputs in one buffer, every second one with an opacity.
    pub(super) fn phantoms(&self, n: usize) -> Vec<u8> {
        let spec = &self.bundle.manifest().preprocess;
        let phantom = |seed: u64| {
            generate(&PhantomSpec { seed, width: spec.width, height: spec.height, opacity: seed % 2 == 1 })
        };
        (0..n as u64).flat_map(phantom).collect()
    }

    /// A session of the bundle's fp32 variant on the CPU, if it has one.
    pub(super) fn reference(&self) -> Result<Option<Session>> {
        let fp32 =
            |(_, variant): &(&String, &Variant)| variant.precision == "fp32" && variant.fixed_batch.is_none();
        let Some((_, variant)) = self.bundle.manifest().variants.iter().find(fp32) else { return Ok(None) };
        let intra_threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let options = SessionOptions { intra_threads, ..SessionOptions::default() };
        self.session(variant, &options).map(Some)
    }

    fn session(&self, variant: &Variant, options: &SessionOptions) -> Result<Session> {
        let graph = self.bundle.file(&variant.file);
        let graph = graph.with_context(|| format!("{}: not in the bundle", variant.file))?;
        Ok(self.runtime.session(graph, &self.bundle.manifest().model, options)?)
    }
}

pub struct Loaded {
    /// Configured as in the service.
    pub(super) service: Session,
    /// With the defaults of ONNX Runtime.
    pub(super) bare: Session,
    pub(super) image_bytes: usize,
}

impl Loaded {
    pub(super) fn new(source: &Source, args: &Args) -> Result<Self> {
        let session = |way| source.session(source.variant(), &options(way, source, args));
        Ok(Self {
            service: session(Way::Service)?,
            bare: session(Way::Bare)?,
            image_bytes: source.image_bytes(),
        })
    }
}

/// The options of both modes: the optimisations of the service, which the bare loop lacks.
fn options(way: Way, source: &Source, args: &Args) -> SessionOptions {
    let service = way == Way::Service;
    SessionOptions {
        provider: match args.provider {
            ProviderName::Cpu => Provider::Cpu,
            ProviderName::Cuda => Provider::Cuda(CudaOptions {
                device_id: args.device_id,
                memory_limit_bytes: None,
                tf32: args.tf32,
                pinned_io: service && !args.no_pinned_io,
                graphs: service && !args.no_pinned_io && args.cuda_graphs,
            }),
        },
        intra_threads: args.intra_threads,
        precision: source.precision().to_owned(),
        ..SessionOptions::default()
    }
}
