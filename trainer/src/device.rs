//! The device that computes: the processor, or a GPU whose libraries are loaded only when it is asked for.

use anyhow::{Context, Result, bail, ensure};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::str::FromStr;
use tch::{Cuda, Device};

/// libtorch's CUDA half. It is not linked, so that one program serves machines with and without a GPU.
const CUDA_LIBRARY: &str = "libtorch_cuda.so";

/// `cpu`, `cuda` or `cuda:N`, as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The processor.
    Cpu,
    /// A GPU by its number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", number)) => Ok(Self::Cuda(number.parse().context("cuda:N takes a number")?)),
            _ => bail!("{text:?} is not a device: say cpu, cuda or cuda:N"),
        }
    }
}

impl DeviceChoice {
    /// The device, proven to be there.
    ///
    /// # Errors
    /// When a GPU was asked for and cannot be used; the processor never takes its place silently.
    pub fn open(self) -> Result<Device> {
        let Self::Cuda(number) = self else { return Ok(Device::Cpu) };
        // SAFETY: libtorch's own library; its initialisers are those that linking it would have run.
        let library = unsafe { Library::open(Some(CUDA_LIBRARY), RTLD_NOW | RTLD_GLOBAL) };
        let library = library.with_context(|| {
            format!("--device cuda: {CUDA_LIBRARY} cannot be loaded; put the lib folder of a CUDA build of libtorch on LD_LIBRARY_PATH")
        })?;
        // Unloading would pull kernels from under tensors that outlive this function.
        std::mem::forget(library);
        ensure!(
            Cuda::is_available(),
            "--device cuda: libtorch finds no usable GPU (driver missing or too old?)"
        );
        let n_devices = Cuda::device_count() as usize;
        ensure!(number < n_devices, "--device cuda:{number}: there are {n_devices} GPUs, counted from 0");
        Ok(Device::Cuda(number))
    }
}

/// Has cuDNN take the same algorithm every time instead of the one that a trial finds fastest; a CPU repeats its results
/// anyway. Atomic additions in CUDA's own kernels (the gradient of interpolation, which training does not use) stay outside.
pub fn repeat_results(deterministic: bool) {
    Cuda::cudnn_set_benchmark(!deterministic);
}
