//! The device that computes: the processor, or a GPU whose libraries are loaded only when it is asked for.

use anyhow::{Context, Result, bail, ensure};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::c_void;
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

// The names under which libtorch 2.11 exports functions of ATen/Context.h, for which tch has no binding.
const GLOBAL_CONTEXT: &[u8] = b"_ZN2at13globalContextEv";
const SET_ALGORITHMS: &[u8] = b"_ZN2at7Context26setDeterministicAlgorithmsEbb";
const SET_FILL: &[u8] = b"_ZN2at7Context39setDeterministicFillUninitializedMemoryEb";

/// Has libtorch take algorithms that repeat their results, in the whole process, or whatever a trial finds fastest. A
/// CPU's repeat them anyway, with the same number of threads; an operation of which that is not known is then an error.
/// On a GPU libtorch warns of such an operation, and of a missing `CUBLAS_WORKSPACE_CONFIG`. Other hardware, another
/// libtorch or another number of threads may round differently all the same.
pub fn repeat_results(deterministic: bool, device: Device) -> Result<()> {
    Cuda::cudnn_set_benchmark(!deterministic);
    let process = Library::this();
    // SAFETY: the types are those of ATen/Context.h: `Context& globalContext()`, whose object lives as long as the process,
    // and member functions of `Context`, which the Itanium ABI calls with the object as first argument.
    let set = || unsafe {
        let context = process.get::<unsafe extern "C" fn() -> *mut c_void>(GLOBAL_CONTEXT)?();
        let algorithms = process.get::<unsafe extern "C" fn(*mut c_void, bool, bool)>(SET_ALGORITHMS)?;
        algorithms(context, deterministic, device != Device::Cpu);
        // Fresh memory full of NaN would only find mistakes in libtorch, and takes time to fill.
        process.get::<unsafe extern "C" fn(*mut c_void, bool)>(SET_FILL)?(context, false);
        Ok::<(), libloading::Error>(())
    };
    set().context("trainer.training.deterministic: this libtorch cannot be asked for a deterministic mode")
}
